"""The end of service: not ready first, then paced byes, then exit 0; whatever clients do meanwhile."""
import signal
import time

from support import wire
from support.broker import SLOW
from support.check import between, eq, fail, has, ok, one_of
from support.runner import case, table
from support.websocket import Refused
from support.wire import Gone, Late

OPEN = {"anonymous.publish": "#", "anonymous.subscribe": "#"}


def status(broker, path, side="admin"):
    try:
        return wire.http(getattr(broker, side), target=path, timeout=5 * SLOW).status
    except (OSError, Gone, Late):
        return None


@table([("one worker", 1), ("two workers", 2)])
def clients_are_told_to_go_elsewhere(t, _, workers):
    broker = t.broker(workers=workers, settings={"drain.time": "1s"})
    clients = [t.client(broker, kind=("json", "cbor")[n % 2]) for n in range(20)]
    for client in clients:
        client.sub("drain/#")
    started = time.monotonic()
    broker.signal(signal.SIGTERM)
    for client in clients:
        bye = client.bye(timeout=10 * SLOW)
        has(bye, close=4300, retry=True, after_ms=lambda v: isinstance(v, int) and 0 <= v <= 60000)
    eq(broker.wait_exit(10 * SLOW), 0, "exit code")
    between(time.monotonic() - started, 0, 6 * SLOW, "seconds until the exit")


@case
def others_get_going_away(t):
    broker = t.broker(settings={"drain.time": "300ms"})
    ws = t.ws(broker, protocols=("sluice.echo",))
    ws.send_text("here")
    eq(ws.recv_message()[1], b"here", "echo")
    broker.signal(signal.SIGTERM)
    eq(ws.wait_close(10 * SLOW)[0], 1001, "close code")
    eq(broker.wait_exit(10 * SLOW), 0, "exit code")


@case
def without_connections_it_ends_at_once(t):
    broker = t.broker()
    started = time.monotonic()
    broker.signal(signal.SIGTERM)
    eq(broker.wait_exit(10 * SLOW), 0, "exit code")
    between(time.monotonic() - started, 0, 1.5 * SLOW, "seconds")


@case
def while_it_settles_it_is_not_ready_but_still_serves(t):
    broker = t.broker(dev=False, settings={**OPEN, "drain.settle": "2s", "drain.time": "500ms"})
    inside = t.client(broker)
    inside.sub("drain/a")
    eq(status(broker, "/readyz", "public"), 200, "/readyz before")
    broker.signal(signal.SIGTERM)
    deadline = time.monotonic() + 1.5 * SLOW
    while status(broker, "/readyz", "public") != 503:
        ok(time.monotonic() < deadline, "/readyz did not turn to 503")
        time.sleep(0.02)
    eq(status(broker, "/healthz", "public"), 200, "/healthz: it lives")
    late = t.client(broker)
    late.pub("drain/a", "still")
    has(inside.next("msg"), data="still")
    for client in (inside, late):
        has(client.bye(timeout=10 * SLOW), close=4300)
    eq(broker.wait_exit(10 * SLOW), 0, "exit code")


@case
def a_second_sigterm_does_no_harm(t):
    broker = t.broker(settings={"drain.time": "500ms"})
    client = t.client(broker)
    for _ in range(3):
        broker.signal(signal.SIGTERM)
        time.sleep(0.05)
    try:
        client.bye(timeout=10 * SLOW)
    except (AssertionError, Gone):
        pass  # a second signal may hurry it
    eq(broker.wait_exit(10 * SLOW), 0, "exit code")


@case
def sigint_ends_it_too(t):
    broker = t.broker(settings={"drain.time": "300ms"})
    client = t.client(broker)
    broker.signal(signal.SIGINT)
    has(client.bye(timeout=10 * SLOW), close=4300)
    eq(broker.wait_exit(10 * SLOW), 0, "exit code")


@case(timeout=60)
def readers_that_do_not_read_hold_nothing_up(t):
    broker = t.broker(settings={"drain.time": "500ms", "timeouts.close": "1s"}, config={"topics": [{"filter": "d/#", "log": "none"}]})
    stuck = t.client(broker, rcvbuf=4096)
    stuck.sub("d/a", overflow="drop_oldest")
    writer = t.client(broker)
    for n in range(200):
        writer.pub("d/a", "x" * 10000)
    half = t.keep(wire.open_socket(broker.public))
    half.sendall(b"GET / HTTP/1.1\r\n")
    started = time.monotonic()
    broker.signal(signal.SIGTERM)
    eq(broker.wait_exit(12 * SLOW), 0, "exit code")
    between(time.monotonic() - started, 0, 8 * SLOW, "seconds until the exit")


@case
def what_was_accepted_before_the_bye_is_delivered(t):
    broker = t.broker(settings={"drain.time": "1s"})
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("drain/a")
    for n in range(500):
        writer.send("pub", topic="drain/a", data=n, id=n)
    answered = [writer.answer(n)["op"] for n in range(500)]
    broker.signal(signal.SIGTERM)
    frames = reader.until(lambda f: f["op"] == "bye")
    eq([f["data"] for f in frames if f["op"] == "msg"], list(range(answered.count("ok"))), "messages before the bye")


@case
def new_connections_during_the_drain_are_refused_or_told(t):
    broker = t.broker(settings={"drain.time": "2s"})
    keep = [t.client(broker) for _ in range(10)]
    broker.signal(signal.SIGTERM)
    keep[0].next(None, timeout=5 * SLOW)
    try:
        late = t.client(broker, hello=False, timeout=3 * SLOW)
        late.send("ping", id=1)
        frames = late.until(lambda f: f["op"] == "bye", timeout=6 * SLOW)
        has(frames[-1], close=4300)
    except (OSError, Gone, Refused, AssertionError):
        pass
    eq(broker.wait_exit(15 * SLOW), 0, "exit code")


@case
def a_killed_broker_can_be_started_again_on_its_port(t):
    broker = t.broker()
    client = t.client(broker)
    client.sub("a")
    broker.exit_expected = -9
    broker.signal(signal.SIGKILL)
    eq(broker.wait_exit(5), -9, "exit code")
    try:
        client.read()
        fail("the connection outlived the broker")
    except (Gone, Late):
        pass
    again = t.broker("--listen", "%s:%d" % broker.public, "--admin", "127.0.0.1:0", listen=False)
    one_of(again.public, (broker.public,), "address")
    has(t.client(again).call("ping"), op="pong")


@case
def mass_reconnect_after_a_restart_is_normal_work(t):
    broker = t.broker(workers=2)
    clients = [t.client(broker) for _ in range(200)]
    for client in clients:
        client.abort()
    again = [t.client(broker) for _ in range(200)]
    for client in again:
        client.send("sub", id="s", topic="mass/#")
    for client in again:
        has(client.answer("s"), op="ok")
    eq(again[0].pub("mass/a", 1)["matched"], 200, "matched")
