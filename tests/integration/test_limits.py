"""Limits that protect everybody: connections in total and for each address, rates, descriptors, memory, control frames,
fragments; and the addresses that proxies vouch for."""
import os
import socket
import struct
import time

from support import wire
from support.broker import SLOW
from support.check import between, eq, fail, has, ok, one_of
from support.runner import case, table
from support.websocket import Refused
from support.wire import BINARY, CONT, PING, PONG, Gone, Late

OPEN = {"drain.settle": "0s", "anonymous.publish": "#", "anonymous.subscribe": "#"}
TRUST = {**OPEN, "trusted-proxies": "127.0.0.1/32", "limits.connections-per-address": 2}


def admitted(t, broker, **options):
    """True if a connection gets in; a refusal may be an HTTP answer or a hang-up."""
    try:
        t.client(broker, **options)
        return True
    except Refused as refused:
        one_of(refused.reply.status, (429, 503), "status of the refusal")
        return False
    except (Gone, OSError):
        return False


@case
def connections_in_total(t):
    broker = t.broker(settings={"limits.connections": 5})
    eq([admitted(t, broker) for _ in range(8)], [True] * 5 + [False] * 3, "admitted")
    t.opened[0].abort()
    deadline = time.monotonic() + 5 * SLOW
    while not admitted(t, broker):
        ok(time.monotonic() < deadline, "a free place is not given again")
        time.sleep(0.05)


@case
def connections_from_one_address(t):
    broker = t.broker(dev=False, settings={**OPEN, "limits.connections-per-address": 3})
    eq([admitted(t, broker) for _ in range(5)], [True] * 3 + [False] * 2, "admitted from 127.0.0.1")
    ok(admitted(t, broker, source="127.0.0.2"), "another address")
    t.opened[0].abort()
    deadline = time.monotonic() + 5 * SLOW
    while not admitted(t, broker):
        ok(time.monotonic() < deadline, "a free place is not given again")
        time.sleep(0.05)


@case
def half_open_connections_count_too(t):
    broker = t.broker(dev=False, settings={**OPEN, "limits.connections-per-address": 3})
    for _ in range(3):
        t.keep(wire.open_socket(broker.public))
    time.sleep(0.2)
    ok(not admitted(t, broker), "silent connections do not count")


@case
def new_connections_a_second_from_one_address(t):
    broker = t.broker(dev=False, settings={**OPEN, "limits.connection-rate-per-address": "10/s"})
    results = [admitted(t, broker) for _ in range(40)]
    between(sum(results), 8, 10 + 12 * SLOW, "admitted in a burst of 40 at 10/s")
    time.sleep(1.1)
    ok(admitted(t, broker), "after a second")


@case
def dev_lifts_the_limits_per_address(t):
    broker = t.broker()
    for _ in range(150):
        t.client(broker)


@case
def forwarded_addresses_count_when_the_proxy_is_trusted(t):
    broker = t.broker(dev=False, settings=TRUST)

    def via(value):
        return admitted(t, broker, headers=[("X-Forwarded-For", value)])
    eq([via("203.0.113.1") for _ in range(3)], [True, True, False], "three from one client")
    ok(via("203.0.113.2"), "another client")
    ok(via("203.0.113.99, 203.0.113.2"), "the rightmost that is not trusted counts")
    ok(not via("203.0.113.98, 203.0.113.2"), "a forged prefix does not help")
    ok(not via("203.0.113.97, 203.0.113.1, 127.0.0.1"), "trusted hops at the end are passed over")
    eq([via("2001:db8::1"), via("2001:db8::2"), via("2001:db8::3")], [True, True, False], "an IPv6 address stands for its /64")
    ok(via("2001:db8:0:1::1"), "another /64")


@case
def forwarded_addresses_are_nothing_from_a_stranger(t):
    broker = t.broker(dev=False, settings={**OPEN, "limits.connections-per-address": 2})
    eq([admitted(t, broker, headers=[("X-Forwarded-For", f"203.0.113.{n}")]) for n in range(3)], [True, True, False], "admitted")


def v1(source="203.0.113.1", family="TCP4"):
    target = "127.0.0.1" if family == "TCP4" else "::1"
    return f"PROXY {family} {source} {target} 50000 8080\r\n".encode()


SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(source="203.0.113.1", command=1, extra=b""):
    if ":" in source:
        body = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack(">HH", 50000, 8080)
        kind = 0x21
    else:
        body = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 50000, 8080)
        kind = 0x11
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack(">H", len(body) + len(extra)) + body + extra


PROXY = {"dev": False, "settings": {**TRUST, "proxy-protocol": "true"}}
HEADERS = [("v1, IPv4", v1), ("v1, IPv6", lambda: v1("2001:db8::9", "TCP6")), ("v2, IPv4", v2), ("v2, IPv6", lambda: v2("2001:db8:5::9")),
           ("v2 with a TLV", lambda: v2("203.0.113.7", extra=b"\x04\x00\x03abc"))]


@table([(name, make()) for name, make in HEADERS])
def proxy_protocol_is_read(t, _, header):
    broker = t.broker(**PROXY)
    eq([admitted(t, broker, preface=header) for _ in range(3)], [True, True, False], "three for one client")
    ok(admitted(t, broker, preface=v1("198.51.100.1")), "another client")


@case
def proxy_protocol_may_arrive_in_pieces(t):
    broker = t.broker(**PROXY)
    for header in (v1(), v2()):
        sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW))
        for at in range(len(header)):
            sock.sendall(header[at:at + 1])
            time.sleep(0.001)
        sock.sendall(wire.request_bytes("GET", "/healthz", [("Host", "x")]))
        eq(wire.read_reply(sock).status, 200, "status")


@case
def proxy_protocol_local_speaks_for_nobody(t):
    broker = t.broker(**PROXY)
    for header in (SIGNATURE + b"\x20\x00\x00\x00", b"PROXY UNKNOWN\r\n"):
        sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW, preface=header))
        sock.sendall(wire.request_bytes("GET", "/healthz", [("Host", "x")]))
        eq(wire.read_reply(sock).status, 200, f"status after {header[:20]!r}")


BROKEN = [("none at all", b""), ("v1 without end", b"PROXY TCP4 " + b"1" * 200 + b"\r\n"), ("v1 with rubbish", b"PROXY TCP4 x y z w\r\n"),
          ("v2 cut short by length", SIGNATURE + b"\x21\x11\x00\x02ab"), ("v2, version 3", SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12)),
          ("v2, 64 KiB announced", SIGNATURE + b"\x21\x11\xff\xff" + bytes(100))]


@table(BROKEN, broker={**PROXY, "settings": {**PROXY["settings"], "timeouts.upgrade": "1s"}}, timeout=90)
def proxy_protocol_that_is_broken_closes(t, broker, header):
    sock = t.keep(wire.open_socket(broker.public, timeout=10 * SLOW, preface=header))
    try:
        sock.sendall(wire.request_bytes("GET", "/healthz", [("Host", "x")]))
        reply = wire.read_reply(sock)
        ok(reply.status >= 400, f"served with {reply.status}")
    except (Gone, ConnectionError):
        pass
    except Late:
        fail("still open")


@case
def proxy_protocol_from_a_stranger_is_not_believed(t):
    broker = t.broker(dev=False, settings={**PROXY["settings"], "trusted-proxies": "192.0.2.0/24"})
    ok(admitted(t, broker), "a stranger without a header comes in as itself")
    results = [admitted(t, broker, preface=v1(f"203.0.113.{n}")) for n in range(4)]
    ok(sum(results) <= 1, "the address in a stranger's PROXY line was believed", results)


@case
def a_unix_socket_serves_too(t):
    path = str(t.folder() / "sluice.sock")
    broker = t.broker("--set", f"listen.public=127.0.0.1:0,unix:{path}", "--admin", "127.0.0.1:0", listen=False)
    client = t.client(broker, address=path)
    other = t.client(broker)
    client.sub("unix/a")
    other.pub("unix/a", 1)
    has(client.next("msg"), data=1)
    eq(wire.http(path, target="/healthz").status, 200, "/healthz")
    t.close_connections()
    broker.stop()
    ok(not os.path.exists(path), "the socket file is still there after the end")


@case
def a_stale_unix_socket_is_replaced(t):
    path = str(t.folder() / "sluice.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    broker = t.broker("--set", f"listen.public=127.0.0.1:0,unix:{path}", "--admin", "127.0.0.1:0", listen=False)
    has(t.client(broker, address=path).call("ping"), op="pong")


# What one connection may do ---------------------------------------------------------------------------------------

@case
def control_frames_have_a_rate(t):
    broker = t.broker(settings={"limits.control-frames-per-second": 20})
    other = t.client(broker)
    client = t.client(broker)
    try:
        for _ in range(40):
            client.ws.send_raw(b"".join(wire.frame(PONG, b"x") for _ in range(20)))
            time.sleep(0.005)
        code = client.ws.wait_close()[0]
        one_of(code, (1002, 1008, 4400, 4503), "close code")
    except Gone:
        pass
    except Late:
        fail("800 unasked pongs at 20/s were taken")
    has(other.call("ping"), op="pong")


@case
def a_few_pings_are_fine(t):
    client = t.client(t.broker(settings={"limits.control-frames-per-second": 20}))
    for n in range(10):
        client.ws.send_frame(PING, b"%d" % n)
        time.sleep(0.06)
    has(client.call("ping"), op="pong")


@case
def fragments_have_a_limit(t):
    broker = t.broker(settings={"limits.fragments": 100})
    ws = t.ws(broker, protocols=("sluice.echo",))
    ws.send_raw(wire.frame(BINARY, b"x", fin=False) + b"".join(wire.frame(CONT, b"x", fin=False) for _ in range(98)) + wire.frame(CONT, b"x"))
    eq(len(ws.recv_message()[1]), 100, "a message of 100 fragments")
    try:
        ws.send_raw(wire.frame(BINARY, b"x", fin=False) + b"".join(wire.frame(CONT, b"", fin=False) for _ in range(200)))
    except Gone:
        pass
    try:
        one_of(ws.wait_close()[0], (1002, 1008, 1009), "close code")
    except Gone:
        pass


@case
def the_payload_limit_is_the_configured_one(t):
    broker = t.broker(settings={"limits.payload": "10KiB", "limits.frame": "20KiB"})
    client = t.client(broker)
    eq(client.hello["limits"]["payload"], 10240, "limit in hello")
    client.pub("a", data64="AAAA" * 3000)
    eq(client.call("pub", topic="a", data64="AAAA" * 3500)["code"], "too_large", "code")
    client.send_raw(" " * 21000)
    has(client.bye(), close=1009)


# Descriptors and memory -------------------------------------------------------------------------------------------

@case(timeout=60, checked=False)
def out_of_descriptors_it_waits_without_spinning(t):
    """160 descriptors, 300 connections: some are served, the rest wait; nothing spins; freed places are used again."""
    broker = t.broker(nofile=160)
    inside = t.client(broker)
    socks = []
    for _ in range(300):
        try:
            socks.append(t.keep(wire.open_socket(broker.public, timeout=2)))
        except OSError:
            break
    time.sleep(0.3)
    before = broker.cpu_seconds()
    started = time.monotonic()
    time.sleep(1.0)
    used = broker.cpu_seconds() - before
    ok(used < 0.35 * (time.monotonic() - started), f"{used:.2f} s of CPU in a second of waiting")
    has(inside.call("ping"), op="pong")
    ok(len(broker.fds()) <= 160, "descriptors")
    for sock in socks:
        sock.close()
    deadline = time.monotonic() + 10 * SLOW
    while True:
        try:
            t.client(broker, timeout=3)
            break
        except (OSError, Gone, Late, Refused):
            ok(time.monotonic() < deadline, "no connection gets in after the others have left")
            time.sleep(0.1)


@case(timeout=90, checked=False)
def memory_stays_within_its_budget_under_stopped_readers(t):
    """32 MiB of budget, 60 stopped readers of 1 MiB each: it sheds readers, tells them, and lives on."""
    broker = t.broker(settings={"limits.memory": "32MiB"}, config={"topics": [{"filter": "mem/#", "log": "none"}]})
    start = broker.rss()
    readers, refused = [], 0
    for n in range(60):
        try:
            reader = t.client(broker, rcvbuf=4096)
            reader.sub("mem/#", overflow="drop_oldest")
            readers.append(reader)
        except (Refused, Gone, AssertionError):
            refused += 1
    writer = t.client(broker, timeout=30)
    peak = 0
    for n in range(1500):
        try:
            answer = writer.call("pub", topic=f"mem/{n % 50}", data="x" * 16000)
            ok(answer["op"] == "ok" or answer["code"] in ("unavailable", "limit_reached"), "answer under pressure", answer)
        except AssertionError:
            fail("the publisher got no answer under memory pressure")
        peak = max(peak, broker.rss()) if n % 20 == 0 else peak
    ok(peak - start < 96 << 20, f"{(peak - start) >> 20} MiB resident over the start with a budget of 32 MiB")
    for reader in readers:
        reader.abort()
    deadline = time.monotonic() + 10 * SLOW
    while True:
        try:
            client = t.client(broker)
            client.sub("mem/after")
            has(client.pub("mem/after", 1), matched=1)
            break
        except (Refused, Gone, AssertionError):
            ok(time.monotonic() < deadline, "no normal service after the readers have left")
            time.sleep(0.2)


@case(checked=False)
def a_claimed_length_takes_no_memory(t):
    """100 connections announce a frame of 2 MiB each and send 10 bytes of it."""
    broker = t.broker()
    clients = [t.client(broker) for _ in range(100)]
    before = broker.rss()
    for client in clients:
        client.ws.send_raw(wire.frame(1, b"0123456789", declared=2 << 20, length_form=64))
    time.sleep(0.3)
    ok(broker.rss() - before < 20 << 20, f"{(broker.rss() - before) >> 20} MiB for 1,000 bytes")


@case(timeout=60, checked=False)
def an_idle_connection_is_small(t):
    """2,000 idle connections with a subscription each: at most 4 KB each."""
    broker = t.broker(nofile=8192)
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5000:
        t.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    for n in range(200):
        t.client(broker).sub(f"idle/warm/{n}")
    before = broker.rss()
    for n in range(2000):
        t.client(broker).sub(f"idle/{n}")
    each = (broker.rss() - before) / 2000
    ok(each <= 4096, f"{each:.0f} bytes for each connection")
