"""Plain HTTP on the public and the administration listener, asked by curl and by raw requests."""
import json
import re
import subprocess
from pathlib import Path

from support import wire
from support.broker import SLOW
from support.check import eq, has, ok, one_of
from support.runner import case, table

DASHBOARD = {"settings": {"dashboard": Path(__file__).resolve().parents[2] / "clients" / "dashboard"}}
OPEN = {"drain.settle": "0s", "anonymous.publish": "#", "anonymous.subscribe": "#"}


def curl(address, path, *flags):
    """(status, headers by small name, body)"""
    url = f"http://{address[0]}:{address[1]}{path}"
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(int(10 * SLOW)), "--path-as-is", "-D", "-", *flags, url],
                          capture_output=True)
    eq(done.returncode, 0, f"curl's exit code for {path}: {done.stderr.decode()}")
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    return int(lines[0].split()[1]), {n.strip().lower(): v.strip() for n, _, v in (l.partition(":") for l in lines[1:])}, body


@table([("healthz", "/healthz"), ("readyz", "/readyz"), ("healthz with a query", "/healthz?x=1")])
def health_is_open(t, broker, path):
    status, headers, body = curl(broker.public, path)
    eq(status, 200, "status")
    ok(len(body) < 200, "the public listener says no more than needed", body)
    ok("server" not in headers or not re.search(r"\d", headers["server"]), "tells its version", headers)


@case
def health_is_open_without_dev_and_nothing_else(t):
    broker = t.broker(dev=False, settings={"drain.settle": "0s"})
    eq(curl(broker.public, "/healthz")[0], 200, "/healthz")
    eq(curl(broker.public, "/readyz")[0], 200, "/readyz")
    for path in ("/metrics", "/v1/connections", "/livez", "/openapi.json"):
        one_of(curl(broker.public, path)[0], (401, 403, 404), path)
    one_of(curl(broker.admin, "/metrics")[0], (401, 403, 404), "/metrics on the other listener")


@case
def the_dashboard_is_served_with_a_strict_policy(t):
    broker = t.broker(**DASHBOARD)
    status, headers, body = curl(broker.public, "/")
    eq(status, 200, "status")
    ok(headers["content-type"].startswith("text/html"), "type", headers)
    policy = headers.get("content-security-policy", "")
    ok("default-src" in policy or "script-src" in policy, "no Content-Security-Policy", headers)
    ok("unsafe-inline" not in re.sub(r"style-src[^;]*", "", policy) and "unsafe-eval" not in policy, "inline script is allowed", policy)
    eq(headers.get("x-content-type-options"), "nosniff", "X-Content-Type-Options")
    text = body.decode()
    ok(not re.search(r"<script(?![^>]*\bsrc=)[^>]*>\s*\S", text), "the page holds inline script")
    ok(not re.search(r"\son\w+=", text), "the page holds inline handlers")
    for name in re.findall(r"""(?:src|href)=["'](/?[\w./-]+)["']""", text):
        target = name if name.startswith("/") else "/" + name
        status, headers, body = curl(broker.public, target)
        eq(status, 200, f"status of {target}")
        ok(body, f"{target} is empty")
        ok(headers.get("content-type"), f"{target} has no type")
        eq(headers.get("x-content-type-options"), "nosniff", f"X-Content-Type-Options of {target}")


@table([(path, path) for path in ("/../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
                                  "/./../../etc/passwd", "/.git/config", "/index.html/../../../etc/passwd", "/nothing")], broker=DASHBOARD)
def only_files_of_the_table_are_served(t, broker, path):
    status, _, body = curl(broker.public, path)
    one_of(status, (400, 403, 404), "status")
    ok(b"root:" not in body, "a file of the machine", body[:200])


@case
def a_path_with_nul_names_no_file(t):
    broker = t.broker(**DASHBOARD)
    for path in ("/%00", "/etc/passwd%00.html"):
        try:
            ok(b"root:" not in wire.http(broker.public, target=path, timeout=10 * SLOW).body, f"a file of the machine by {path}")
        except wire.Gone:
            pass
    has(t.client(broker).call("ping"), op="pong")


@table([("POST", "POST"), ("PUT", "PUT"), ("DELETE", "DELETE"), ("OPTIONS", "OPTIONS"), ("PATCH", "PATCH")])
def other_methods_are_refused(t, broker, method):
    reply = wire.http(broker.public, method, "/healthz", body=b"x" if method != "OPTIONS" else b"", timeout=10 * SLOW)
    one_of(reply.status, (400, 403, 404, 405), "status")


@case
def head_answers_without_a_body(t):
    broker = t.broker()
    reply = wire.http(broker.public, "HEAD", "/healthz", timeout=10 * SLOW)
    one_of(reply.status, (200, 403, 405), "status")
    if reply.status == 200:
        eq(reply.body, b"", "body")


@table([("missing", b"GET /healthz HTTP/1.1\r\n\r\n"), ("twice", b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("empty", b"GET /healthz HTTP/1.1\r\nHost: \r\n\r\n"), ("with a slash", b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n")])
def host_must_be_there_once(t, broker, request):
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    sock.sendall(request)
    try:
        eq(wire.read_reply(sock).status, 400, "status")
    except wire.Gone:
        pass


SMUGGLING = [
    ("length and chunked", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked", b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
    ("two lengths", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    ("negative length", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\nabcd"),
    ("length that is none", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: four\r\n\r\nabcd"),
    ("GET with a body", b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"),
    ("a body of 10 GiB announced", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 10737418240\r\n\r\nabcd"),
]


@table(SMUGGLING)
def ambiguous_or_needless_bodies_are_refused_and_closed(t, broker, request):
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    sock.sendall(request + b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        reply = wire.read_reply(sock)
        one_of(reply.status, (200, 400, 403, 404, 405, 411, 413), "status")
        if b"GET with" not in request[:0] and not request.startswith(b"GET"):
            ok(reply.status != 200, "a POST to a health check was served", reply)
    except wire.Gone:
        pass
    has(t.client(broker).call("ping"), op="pong")


@case
def every_answer_says_what_becomes_of_the_connection(t):
    broker = t.broker()
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    request = wire.request_bytes("GET", "/healthz", [("Host", "localhost")])
    sock.sendall(request)
    reply = wire.read_reply(sock)
    eq(reply.status, 200, "first")
    if (reply.get("connection") or "keep-alive").lower() == "close":
        try:
            wire.recv_some(sock)
        except wire.Gone:
            return
        ok(False, "said close and stayed open")
    sock.sendall(request)
    eq(wire.read_reply(sock).status, 200, "second")


# The administration listener --------------------------------------------------------------------------------------

@table([("livez", "/livez"), ("readyz", "/readyz"), ("healthz", "/healthz")])
def health_on_the_administration_listener(t, broker, path):
    eq(curl(broker.admin, path)[0], 200, "status")


@case
def metrics_count_what_happens(t):
    broker = t.broker()
    client = t.client(broker)
    client.sub("m/a")
    for n in range(5):
        client.pub("m/a", n)
    client.call("nonsense")
    status, headers, body = curl(broker.admin, "/metrics")
    eq(status, 200, "status")
    ok(headers["content-type"].startswith("text/plain"), "type", headers)
    text = body.decode()
    values = dict(re.findall(r"^(\w+)(?:\{\})? (\d+)$", text, re.M))
    published = next((int(v) for n, v in values.items() if "published" in n), None)
    eq(published, 5, f"published; {list(values)[:60]}")
    ok('bad_op' in text, "errors are not counted by reason", text[-1500:])
    ok(all(name.startswith("sluice_") for name in values), "names without the prefix", list(values))


@case
def the_console_speaks_the_native_protocol_to_its_own_origin(t):
    broker = t.broker()
    host = "%s:%d" % broker.admin
    client = t.client(broker, address=broker.admin, headers=[("Origin", f"http://{host}")])
    has(client.call("ping"), op="pong")
    from support.websocket import Refused
    for origin in ("http://localhost:3000", f"http://{broker.public[0]}:{broker.public[1]}", "https://evil.example"):
        try:
            t.ws(broker, address=broker.admin, headers=[("Origin", origin)])
            ok(False, f"{origin} got in on the administration listener")
        except Refused as refused:
            eq(refused.reply.status, 403, f"status for {origin}")


@case
def hosts_confine_the_names_it_is_called_by(t):
    broker = t.broker(settings={"hosts": "sluice.example,localhost"})
    eq(wire.http(broker.public, host="sluice.example:80", target="/healthz").status, 200, "own name")
    one_of(wire.http(broker.public, host="evil.example", target="/healthz").status, (400, 403, 404, 421), "foreign name")
    from support.websocket import Refused
    t.ws(broker, host="sluice.example")
    try:
        t.ws(broker, host="evil.example")
        ok(False, "an upgrade to a foreign name got in")
    except Refused as refused:
        one_of(refused.reply.status, (400, 403, 404, 421), "status")


@case
def origins_of_the_configuration_come_in(t):
    broker = t.broker(dev=False, settings={**OPEN, "origins": "https://app.example,http://intra:8000"})
    from support.websocket import Refused
    for origin in ("https://app.example", "http://intra:8000"):
        t.ws(broker, headers=[("Origin", origin)])
    for origin in ("http://app.example", "https://app.example:8443", "https://app.example.evil", "https://xapp.example", "http://intra"):
        try:
            t.ws(broker, headers=[("Origin", origin)])
            ok(False, f"{origin} got in")
        except Refused as refused:
            eq(refused.reply.status, 403, f"status for {origin}")


@case
def metrics_are_not_for_foreign_pages(t):
    broker = t.broker()
    reply = wire.http(broker.admin, target="/metrics", headers=[("Origin", "https://evil.example")])
    ok(reply.get("access-control-allow-origin") is None, "CORS for everybody", reply)
    ok(json.dumps(reply.headers).lower().find("set-cookie") < 0, "sets a cookie")
