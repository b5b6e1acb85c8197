"""TLS with certificate and key from the configuration, and their renewal by SIGHUP."""
import os
import ssl
import subprocess
import time

from support import wire
from support.broker import SLOW
from support.check import eq, fail, has, ok
from support.runner import case
from support.wire import Gone, Late


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "key.pem.new", "-out", folder / "cert.pem.new"], check=True, capture_output=True)
    os.replace(folder / "key.pem.new", folder / "key.pem")
    os.replace(folder / "cert.pem.new", folder / "cert.pem")


def trusting(folder=None):
    context = ssl.create_default_context(cafile=str(folder / "cert.pem")) if folder else ssl.create_default_context()
    if not folder:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def name_served(broker):
    """The common name of the certificate that a new connection sees."""
    pem = ssl.get_server_certificate(broker.public, timeout=10 * SLOW)
    done = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, capture_output=True, text=True, check=True)
    return done.stdout.rsplit("=", 1)[1].strip()


def start(t, folder, **options):
    return t.broker(settings={"tls.certificate": folder / "cert.pem", "tls.key": folder / "key.pem", **options.pop("settings", {})}, **options)


@case
def the_native_protocol_over_tls(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder, workers=2)
    for kind in ("json", "cbor"):
        client = t.client(broker, kind=kind, tls=trusting(folder))
        eq(client.ws.sock.selected_alpn_protocol() in (None, "http/1.1"), True, "ALPN")
        client.sub("tls/a")
        client.pub("tls/a", "x" * 100000)
        has(client.next("msg"), topic="tls/a")
    reader, writer = t.client(broker, tls=trusting(folder)), t.client(broker, tls=trusting(folder))
    reader.sub("tls/b")
    writer.send_many([{"op": "pub", "topic": "tls/b", "data": [n, "y" * 500]} for n in range(2000)])
    eq([m["data"][0] for m in reader.msgs(2000, timeout=20 * SLOW)], list(range(2000)), "messages")


@case
def h2_is_not_spoken_even_if_offered(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder)
    context = trusting(folder)
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = t.client(broker, tls=context)
    ok(client.ws.sock.selected_alpn_protocol() != "h2", "h2 was chosen")


@case
def old_tls_versions_are_refused(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder)
    context = trusting()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        t.keep(wire.open_socket(broker.public, tls=context, timeout=5 * SLOW))
    except (ssl.SSLError, ConnectionError):
        return
    fail("TLS 1.1 was accepted")


@case
def plain_http_on_a_tls_port_is_refused_and_costs_nothing(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder)
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        ok(b" 200 " not in wire.recv_some(sock)[:20], "served in the clear")
    except (Gone, Late):
        pass
    has(t.client(broker, tls=trusting(folder)).call("ping"), op="pong")


@case(timeout=60)
def a_tls_handshake_has_a_deadline(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder, settings={"timeouts.upgrade": "500ms"})
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
    sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    started = time.monotonic()
    try:
        while True:
            wire.recv_some(sock)
    except Gone:
        ok(time.monotonic() - started < 5 * SLOW, "cut too late")


@case
def sighup_takes_a_new_certificate_and_old_connections_live_on(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder, workers=2)
    eq(name_served(broker), "first", "before")
    old = t.client(broker, tls=trusting())
    old.sub("tls/r")
    make_certificate(folder, "second")
    broker.reload()
    deadline = time.monotonic() + 5 * SLOW
    while any(name_served(broker) != "second" for _ in range(6)):
        ok(time.monotonic() < deadline, "still the old certificate")
        time.sleep(0.05)
    t.client(broker, tls=trusting(folder)).pub("tls/r", "after")
    has(old.next("msg"), data="after")


@case
def sighup_with_a_broken_certificate_keeps_the_old_one(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder)
    good = (folder / "cert.pem").read_text()
    for text in ("not a certificate", "", good[:200]):
        (folder / "cert.pem").write_text(text)
        broker.reload()
        time.sleep(0.3 * SLOW)
        eq(name_served(broker), "first", "served")
    make_certificate(folder, "second")
    key = (folder / "key.pem").read_text()
    make_certificate(folder, "third")
    (folder / "key.pem").write_text(key)
    broker.reload()
    time.sleep(0.3 * SLOW)
    eq(name_served(broker), "first", "served with a key that does not fit")
    ok("error" in broker.log_text().lower() or "cert" in broker.log_text().lower(), "nothing in the log about it")


@case(timeout=90)
def a_publisher_that_was_held_back_is_read_on(t):
    """More publishes than may be in flight, in records that OpenSSL has read already when reading goes on."""
    folder = t.folder()
    make_certificate(folder, "first")
    broker = start(t, folder, workers=2, settings={"limits.publishes-in-flight": 50})
    for turn in range(20):
        writer = t.client(broker, tls=trusting(), timeout=8 * SLOW)
        writer.send_many([{"op": "pub", "topic": f"held/{turn}", "data": [n, "y" * 500]} for n in range(1500)])
        has(writer.call("ping", id="done"), op="pong")
        writer.abort()
