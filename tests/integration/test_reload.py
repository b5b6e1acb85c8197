"""SIGHUP takes the new configuration whole or not at all, while connections live on."""
import time

from support.broker import SLOW
from support.check import eq, fail, has, is_error, ok
from support.runner import case


def config(payload="1MiB", rules=(), extra=None):
    return {"limits": {"payload": payload}, "topics": [{"filter": "fixed/#", "log": "memory"}, *rules], **(extra or {})}


def payload_now(t, broker):
    return t.client(broker).hello["limits"]["payload"]


def wait_for(what, condition, seconds=5):
    deadline = time.monotonic() + seconds * SLOW
    while not condition():
        if time.monotonic() > deadline:
            fail(f"{what} did not come about in {seconds * SLOW:.0f} s")
        time.sleep(0.05)


@case
def limits_and_rules_change_and_connections_stay(t):
    broker = t.broker(config=config(), workers=2)
    old = t.client(broker)
    old.sub("fixed/a")
    eq(payload_now(t, broker), 1 << 20, "before")
    is_error(old.call("pub", topic="cap/a", data=1, ack="stored"), "unsupported", 422)
    broker.write_config(config("100KiB", [{"filter": "cap/#", "log": "none", "max-size": "50"}]))
    broker.reload()
    wait_for("the new limit", lambda: payload_now(t, broker) == 100 * 1024)
    is_error(old.call("pub", topic="cap/a", data="x" * 100), "too_large", 413)
    is_error(old.call("pub", topic="fixed/a", data="x" * 200000), "too_large", 413)
    old.pub("fixed/a", "still here")
    has(old.next("msg"), data="still here")


@case
def a_mistake_changes_nothing(t):
    broker = t.broker(config=config())
    client = t.client(broker)
    for text in ("limits:\n  payload: 100KiB\n  nonsense: 1\n", "limits: {payload: 100KiB}\nworkers: x\n", "a: [\n", "limits: {payload: 0}\n"):
        size = len(broker.log_text())
        broker.write_config(text)
        broker.reload()
        wait_for("a line in the log", lambda size=size: len(broker.log_text()) > size)
        eq(payload_now(t, broker), 1 << 20, "limit after a reload with a mistake")
    log = broker.log_text()
    ok("sluice.yaml" in log and "nonsense" in log, "the log does not name the mistake", log[-1500:])
    has(client.call("ping"), op="pong")


@case
def a_file_that_is_gone_changes_nothing(t):
    broker = t.broker(config=config("200KiB"))
    broker.config_file.unlink()
    broker.reload()
    time.sleep(0.3 * SLOW)
    eq(payload_now(t, broker), 200 * 1024, "limit")


@case
def what_cannot_change_is_refused_with_all_the_rest(t):
    broker = t.broker(config=config())
    broker.write_config(config("100KiB", extra={"node": "renamed"}))
    broker.reload()
    wait_for("a line in the log", lambda: "node" in broker.log_text())
    eq(payload_now(t, broker), 1 << 20, "limit: a reload is all or nothing")


@case
def many_reloads_under_load_lose_nothing(t):
    broker = t.broker(config=config(), workers=2)
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("fixed/a")
    for turn in range(20):
        broker.write_config(config(f"{900 + turn}KiB", [{"filter": f"rule{turn}/#", "log": "none"}]))
        broker.reload()
        writer.send_many([{"op": "pub", "topic": "fixed/a", "data": turn * 50 + n} for n in range(50)])
        time.sleep(0.01)
    eq([m["data"] for m in reader.msgs(1000)], list(range(1000)), "messages")
    wait_for("the last limit", lambda: payload_now(t, broker) == 919 * 1024)


@case
def a_reload_without_a_file_is_harmless(t):
    broker = t.broker()
    for _ in range(3):
        broker.reload()
    has(t.client(broker).call("ping"), op="pong")
