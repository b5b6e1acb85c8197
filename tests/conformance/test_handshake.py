"""RFC 6455 section 4.2 and the broker's own rules for the upgrade: each row is one raw request and its answer."""
import json
import time

from support import wire
from support.broker import SLOW
from support.check import eq, fail, has, ok, one_of, short
from support.runner import case, table
from support.websocket import WebSocket, handshake_headers
from support.wire import Gone, Late

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def ask(t, broker, method="GET", path="/ws", version="HTTP/1.1", host=None, protocols=(), extra=(), without=(), **how):
    """Sends one handshake as told and returns the reply; a hang-up instead of one fails the test."""
    host = host or "%s:%d" % broker.public
    lines = handshake_headers(host, protocols, extra, how.get("key", KEY), how.get("ws_version", "13"), without)
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    sock.sendall(wire.request_bytes(method, path, lines, version=version))
    try:
        return wire.read_reply(sock)
    except Gone as gone:
        if how.get("may_hang_up"):
            return wire.Reply(0, "hung up", "HTTP/", [])
        fail(f"hung up without an answer: {gone}")


def origin(value):
    return {"extra": [("Origin", value)]}


GOOD = [
    ("plain", {}),
    ("on the path /", {"path": "/"}),
    ("Upgrade in capitals", {"without": ["upgrade"], "extra": [("Upgrade", "WebSocket")]}),
    ("Connection list as Firefox sends it", {"without": ["connection"], "extra": [("Connection", "keep-alive, Upgrade")]}),
    ("header names in small letters", {"without": ["connection"], "extra": [("connection", "upgrade")]}),
    ("offered permessage-deflate may be declined", {"extra": [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]}),
    ("unknown extension is declined", {"extra": [("Sec-WebSocket-Extensions", "x-unknown; a=1, y-unknown")]}),
    ("unknown query", {"path": "/ws?utm_source=x"}),
    ("origin on a loopback name", origin("http://localhost:3000")),
    ("origin on a loopback address", origin("http://127.0.0.1:5173")),
    ("origin on the IPv6 loopback", origin("http://[::1]:5173")),
    ("no origin at all", {}),
]


@table(GOOD)
def accepted(t, broker, how):
    reply = ask(t, broker, **how)
    eq(reply.status, 101, "status")
    eq(reply.get("sec-websocket-accept"), wire.accept_of(KEY), "Sec-WebSocket-Accept")
    eq(reply.get("sec-websocket-extensions"), None, "extension without a safe implementation")
    eq(reply.all("sec-websocket-protocol"), [], "subprotocol though none was offered")


BAD = [
    ("method POST", {"method": "POST"}, (400, 403, 405)),
    ("method HEAD, on which the library hangs up", {"method": "HEAD", "may_hang_up": True}, (0, 400, 403, 405)),
    ("method OPTIONS", {"method": "OPTIONS"}, (400, 403, 405)),
    ("method unknown", {"method": "BREW"}, (400, 403, 405, 501)),
    ("HTTP/1.0", {"version": "HTTP/1.0"}, (400, 426, 505)),
    ("no Host", {"without": ["host"]}, (400,)),
    ("two Hosts", {"extra": [("Host", "other.example")]}, (400,)),
    ("no key", {"without": ["sec-websocket-key"]}, (400,)),
    ("empty key", {"key": ""}, (400,)),
    ("key of 15 bytes", {"key": "AAAAAAAAAAAAAAAAAAAA"}, (400,)),
    ("key of 17 bytes", {"key": "AAAAAAAAAAAAAAAAAAAAAAA="}, (400,)),
    ("key that is not base64", {"key": "!!!!!!!!!!!!!!!!!!!!!!=="}, (400,)),
    ("two keys", {"extra": [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]}, (400,)),
    ("no Connection", {"without": ["connection"]}, (400, 426)),
    ("Connection without upgrade", {"without": ["connection"], "extra": [("Connection", "keep-alive")]}, (400, 426)),
    ("Upgrade to h2c", {"without": ["upgrade"], "extra": [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]},
     (200, 400, 403, 404, 426)),
    ("Upgrade to something else", {"without": ["upgrade"], "extra": [("Upgrade", "tls/1.0")]}, (200, 400, 403, 404, 426)),
    ("foreign origin", origin("https://evil.example"), (403,)),
    ("foreign origin with our port", origin("http://evil.example:8080"), (403,)),
    ("origin null", origin("null"), (403,)),
    ("origin that is a prefix trick", origin("http://localhost.evil.example"), (403,)),
    ("origin that is a user-info trick", origin("http://localhost@evil.example"), (403,)),
    ("origin without a scheme", origin("localhost:3000"), (403,)),
    ("origin from a file", origin("file://"), (403,)),
    ("two origins", {"extra": [("Origin", "http://localhost:1"), ("Origin", "https://evil.example")]}, (400, 403)),
    ("foreign host and the same origin, as after DNS rebinding",
     {"host": "evil.example:8080", "extra": [("Origin", "http://evil.example:8080")]}, (400, 403, 421)),
    ("unknown path", {"path": "/nowhere"}, (404,)),
    ("path below /ws", {"path": "/ws/deeper"}, (404,)),
    ("path with dots", {"path": "/ws/../../etc/passwd"}, (400, 403, 404)),
    ("only unknown subprotocols", {"protocols": ("soap", "xmpp")}, (400,)),
]


@table(BAD)
def refused(t, broker, how, statuses):
    reply = ask(t, broker, **how)
    one_of(reply.status, statuses, "status")
    has({"op": "reply", "line": reply.version[:5]}, line="HTTP/")


@table([("8", "8"), ("0", "0"), ("14", "14"), ("12", "12"), ("not a number", "x"), ("a list", "8, 13"), ("none", None)])
def other_versions_are_told_thirteen(t, broker, version):
    how = {"without": ["sec-websocket-version"]} if version is None else {"ws_version": version}
    reply = ask(t, broker, **how)
    eq(reply.status, 426, "status")
    eq(reply.get("sec-websocket-version"), "13", "Sec-WebSocket-Version")


JSON, CBOR, ECHO = "sluice.v1.json", "sluice.v1.cbor", "sluice.echo"
CHOICES = [
    ("JSON alone", (JSON,), JSON),
    ("CBOR alone", (CBOR,), CBOR),
    ("the client's first", (CBOR, JSON), CBOR),
    ("the client's first, the other way", (JSON, CBOR), JSON),
    ("the first that the broker speaks", ("zzz", "soap", CBOR, JSON), CBOR),
    ("echo before native", (ECHO, JSON), ECHO),
]


@table([(f"{name} on {path}", protocols, chosen, path) for name, protocols, chosen in CHOICES for path in ("/ws", "/")])
def subprotocol(t, broker, protocols, chosen, path):
    ws = t.ws(broker, protocols=protocols, path=path)
    eq(ws.protocol, chosen, "chosen subprotocol")
    eq(len(ws.reply.all("sec-websocket-protocol")), 1, "number of Sec-WebSocket-Protocol headers")


@case
def subprotocols_in_two_headers_are_one_list(t):
    broker = t.broker()
    reply = ask(t, broker, extra=[("Sec-WebSocket-Protocol", "zzz"), ("Sec-WebSocket-Protocol", CBOR)])
    eq(reply.status, 101, "status")
    eq(reply.get("sec-websocket-protocol"), CBOR, "chosen subprotocol")


@case
def subprotocol_none_offered_means_native_json(t):
    client = t.client(t.broker(), protocols=())
    eq(client.ws.protocol, None, "subprotocol in the answer")
    eq(client.hello["protocol"], JSON, "protocol in hello")


@case
def subprotocol_unknown_names_those_spoken(t):
    reply = ask(t, t.broker(), protocols=("soap",))
    eq(reply.status, 400, "status")
    for name in (JSON, CBOR):
        ok(name.encode() in reply.body, f"the body does not name {name}", reply.body)


@table([("all unknown", ["protocol-%02d" % n for n in range(20)]),
        ("a known one at the end", ["protocol-%02d" % n for n in range(20)] + [JSON]),
        ("a token of 300 bytes as some clients send it", [JSON, "t" * 300])])
def subprotocol_long_list_is_refused_and_says_why(t, broker, names):
    reply = ask(t, broker, protocols=names)
    eq(reply.status, 400, "status")
    ok(len(reply.body) > 10, "the body must say why", reply.body)


@case
def echo_is_off_without_dev(t):
    broker = t.broker(dev=False, settings={"drain.settle": "0s"})
    eq(ask(t, broker, protocols=(ECHO,)).status, 400, "status")
    ok(b"sluice.echo" not in ask(t, broker, protocols=("soap",)).body, "echo is offered without --dev")


@case
def same_origin_is_allowed_and_loopback_is_foreign_without_dev(t):
    broker = t.broker(dev=False, settings={"drain.settle": "0s"})
    host = "%s:%d" % broker.public
    eq(ask(t, broker, extra=[("Origin", f"http://{host}")]).status, 101, "same origin")
    eq(ask(t, broker, extra=[("Origin", "http://localhost:1")]).status, 403, "another port on loopback")
    eq(ask(t, broker, extra=[("Origin", f"https://{host}")]).status, 403, "another scheme")
    eq(ask(t, broker, extra=[("Origin", "null")]).status, 403, "null")


# What is not even a handshake -----------------------------------------------------------------------------------

def until_gone(sock, seconds):
    """Seconds until the server hung up, and what it said."""
    started, data = time.monotonic(), b""
    sock.settimeout(seconds)
    try:
        while True:
            data += wire.recv_some(sock)
    except Gone:
        return time.monotonic() - started, data
    except Late:
        fail(f"still open after {seconds:.0f} s", short(data))


FLOODS = [
    ("a request line of 64 KiB", b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a header of 64 KiB", b"GET /ws HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 65536 + b"\r\n\r\n"),
    ("2,000 headers", b"GET /ws HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\n"),
    ("2 MiB without an end of line", b"GET /" + b"a" * (2 << 20)),
    ("rubbish", bytes(range(256)) * 64),
    ("HTTP/2 with prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)),
    ("a TLS hello", bytes.fromhex("16030100c8010000c403") + bytes(190)),
    ("NUL in the request line", b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a bare line feed request", b"GET /ws HTTP/1.1\nHost: x\n\n"),
    ("a header without a colon", b"GET /ws HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n"),
]


@table(FLOODS, timeout=120)
def floods_cost_only_their_own_connection(t, broker, data):
    bystander = t.client(broker)
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    before = broker.rss()
    try:
        sock.sendall(data)
    except OSError:
        pass
    _, answer = until_gone(sock, 15 * SLOW)
    ok(b" 101 " not in answer[:20], "upgraded", answer[:200])
    ok(broker.rss() - before < 16 << 20, f"took {broker.rss() - before} bytes")
    has(bystander.call("ping"), op="pong")


@case(timeout=60)
def slow_handshakes_are_cut_at_the_deadline(t):
    """5 s for the upgrade, whether the peer says nothing, says half, or goes on dripping."""
    broker = t.broker()
    silent = t.keep(wire.open_socket(broker.public))
    half = t.keep(wire.open_socket(broker.public))
    half.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\n")
    drip = t.keep(wire.open_socket(broker.public))
    drip.sendall(b"GET /ws HTTP/1.1\r\n")
    started, dripped = time.monotonic(), 0
    try:
        while time.monotonic() - started < 12 * SLOW:
            drip.sendall(b"X-%d: y\r\n" % dripped)
            dripped += 1
            drip.settimeout(0.25)
            try:
                wire.recv_some(drip)
            except Late:
                continue
    except (Gone, OSError):
        pass
    took = time.monotonic() - started
    ok(3.5 <= took <= 9 * SLOW, f"the dripping one was cut after {took:.1f} s")
    for name, sock in (("silent", silent), ("half", half)):
        more, _ = until_gone(sock, 5 * SLOW)
        ok(time.monotonic() - started < 10 * SLOW, f"the {name} one lived {time.monotonic() - started:.1f} s")


@case
def frames_in_the_same_segment_as_the_handshake(t):
    """A client that does not wait for the 101 (RFC 6455 lets the bytes meet) loses nothing."""
    broker = t.broker()
    host = "%s:%d" % broker.public
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    early = wire.frame(wire.TEXT, json.dumps({"op": "ping", "id": 1, "t": 5}).encode())
    sock.sendall(wire.request_bytes("GET", "/ws", handshake_headers(host, (JSON,), key=KEY)) + early)
    reply = wire.read_reply(sock)
    eq(reply.status, 101, "status")
    decoder, frames = wire.Decoder(), []
    decoder.feed(reply.rest)
    while len(frames) < 2:
        got = decoder.next()
        if got:
            frames.append(json.loads(got.payload))
        else:
            decoder.feed(wire.recv_some(sock))
    eq([f["op"] for f in frames], ["hello", "pong"], "frames")


@case
def fifty_handshakes_at_once(t):
    broker = t.broker()
    host = "%s:%d" % broker.public
    socks = [t.keep(wire.open_socket(broker.public, timeout=10 * SLOW)) for _ in range(50)]
    for sock in socks:
        sock.sendall(wire.request_bytes("GET", "/ws", handshake_headers(host, (JSON,), key=KEY)))
    eq([wire.read_reply(sock).status for sock in socks], [101] * 50, "answers")


@case
def websocket_client_reads_ipv6(t):
    """--dev listens on both loopback addresses, since some clients try ::1 first."""
    broker = t.broker()
    try:
        ws = WebSocket(("::1", broker.public[1]), timeout=5)
    except OSError as error:
        fail(f"::1 does not answer: {error}")
    eq(ws.protocol, JSON, "subprotocol")
    ws.abort()
