"""What a reader asks for: conflation, credit, and the four overflow policies; loss is always announced."""
import threading
import time

from support.broker import SLOW
from support.check import between, eq, fail, has, is_error, lacks, ok
from support.runner import case, table
from support.sluice_client import Client
from support.wire import Gone

LOGS = {"topics": [{"filter": "nolog/#", "log": "none"}, {"filter": "long/#", "log": "memory", "max-count": 100000, "max-bytes": "256MiB"},
                   {"filter": "short/#", "log": "memory", "max-count": 20}]}
SMALL = {"limits.queue-bytes": "64KiB"}


# Conflation -------------------------------------------------------------------------------------------------------

@table([("json", "json"), ("cbor", "cbor")])
def conflate_gives_the_first_at_once_then_the_newest(t, broker, kind):
    reader, writer = t.client(broker, kind=kind), t.client(broker)
    reader.sub("conf/a", sub=9, conflate={"hz": 4})
    started = time.monotonic()
    writer.send_many([{"op": "pub", "topic": "conf/a", "data": n} for n in range(50)])
    has(reader.next("msg"), data=0, sub=9)
    between(time.monotonic() - started, 0, 0.2 * SLOW, "seconds until the first")
    has(reader.next("msg"), data=49, sub=9)
    between(time.monotonic() - started, 0.1, 1.0 * SLOW, "seconds until the newest")
    reader.barrier()
    eq([f for f in reader.pending() if f["op"] in ("msg", "gap")], [], "more; conflation is not loss")


@case
def conflate_keeps_the_rate_for_each_topic(t):
    broker = t.broker()
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("conf/+", conflate={"hz": 5})
    started, n = time.monotonic(), 0
    while time.monotonic() - started < 2:
        for topic in "abc":
            writer.send("pub", topic=f"conf/{topic}", data=n)
        n += 1
        time.sleep(0.01)
    writer.barrier()
    time.sleep(0.5)
    reader.barrier()
    got = reader.pending("msg")
    for topic in "abc":
        mine = [m["data"] for m in got if m["topic"] == f"conf/{topic}"]
        between(len(mine), 5 if SLOW == 1 else 2, 14, f"messages of {topic} in 2.5 s at 5 Hz")
        eq(mine, sorted(mine), "order")
        eq(mine[-1], n - 1, "the newest comes last")


@case
def conflate_by_key_holds_the_newest_of_each_key_across_topics(t):
    broker = t.broker()
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("px/+", conflate={"by": "key", "hz": 2})
    for n in range(30):  # each after the ok of the one before: only that orders messages across topics
        writer.pub(f"px/{n % 2}", n, key=f"k{n % 3}")
    writer.pub("px/0", "no key 1")
    writer.pub("px/0", "no key 2")
    time.sleep(0.8)
    reader.barrier()
    got = reader.pending("msg")
    by_key = {}
    for m in got:
        by_key.setdefault(m.get("key"), []).append(m["data"])
    eq({k: v[-1] for k, v in by_key.items()}, {"k0": 27, "k1": 28, "k2": 29, None: "no key 2"}, "newest of each key")
    ok(all(len(v) <= 3 for v in by_key.values()), f"more than the rate allows: {by_key}")


@case
def conflate_at_a_high_rate_is_as_fast_as_the_reader(t):
    broker = t.broker(settings=SMALL)
    reader, writer = t.client(broker, rcvbuf=4096), t.client(broker)
    reader.sub("conf/b", conflate={"hz": 1000})
    big = "x" * 8000
    for n in range(300):
        writer.pub("conf/b", [n, big])
    got = reader.until(lambda f: f["op"] == "msg" and f["data"][0] == 299)
    numbers = [f["data"][0] for f in got if f["op"] == "msg"]
    eq(numbers, sorted(numbers), "order")
    ok(len(numbers) < 300, "a stopped reader got every single value")
    ok(not any(f["op"] == "gap" for f in got), "conflation is not loss")


@case
def conflate_on_replay_gives_the_newest_of_each_topic(t):
    broker = t.broker()
    writer, reader = t.client(broker), t.client(broker)
    for n in range(30):
        writer.pub(f"conf/{n % 2}", n)
    reader.sub("conf/+", conflate={"hz": 10}, **{"from": "first"})
    time.sleep(0.5)
    reader.barrier()
    got = [m["data"] for m in reader.pending("msg")]
    ok({28, 29} <= set(got), "the newest values are missing", got)
    ok(len(got) < 30, "the replay was not conflated", got)


@case
def at_the_bound_of_pending_keys_nothing_goes_silently(t):
    broker = t.broker(settings={"limits.conflated-keys": 10})
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("keys/+", sub=3, conflate={"by": "key", "hz": 1})
    for value in range(3):
        for n in range(50):
            writer.send("pub", topic="keys/a", data=[n, value], key=f"k{n}")
    writer.barrier()
    time.sleep(1.6)
    reader.barrier()
    frames = reader.pending()
    newest = {f["data"][0] for f in frames if f["op"] == "msg" and f["data"][1] == 2}
    gaps = [f for f in frames if f["op"] == "gap"]
    ok(all(f["reason"] == "overflow" and f["sub"] == 3 for f in gaps), "reason and sub of the gaps", gaps)
    ok(50 - len(newest) <= sum(f.get("lost", 0) for f in gaps), f"{50 - len(newest)} keys lost their newest value", gaps)


# Credit -----------------------------------------------------------------------------------------------------------

@table([("json", "json"), ("cbor", "cbor")])
def credit_lets_so_many_pass_and_flow_adds(t, broker, kind):
    reader, writer = t.client(broker, kind=kind), t.client(broker)
    topic = f"credit/{kind}"
    reader.sub(topic, sub=4, credit=3)
    for n in range(1, 21):
        writer.pub(topic, n)
    reader.barrier()
    eq([m["data"] for m in reader.pending("msg")], [1, 2, 3], "with credit 3")
    reader.send("flow", sub=4, credit=2)
    eq([m["data"] for m in reader.msgs(2)], [4, 5], "after flow 2")
    reader.barrier()
    eq(reader.pending("msg"), [], "beyond the credit")
    reader.send("flow", sub=4, credit=1000)
    eq([m["data"] for m in reader.msgs(15)], list(range(6, 21)), "after flow 1000")
    writer.pub(topic, 21)
    has(reader.next("msg"), data=21)
    eq(reader.pending("gap"), [], "gaps")


@case
def credit_of_zero_waits_and_replayed_messages_cost_too(t):
    broker = t.broker()
    writer, reader = t.client(broker), t.client(broker)
    for n in range(1, 11):
        writer.pub("credit/a", n)
    reader.sub("credit/a", sub=1, credit=0, **{"from": "first"})
    reader.barrier()
    eq(reader.pending("msg"), [], "with credit 0")
    for n in range(1, 11):
        reader.send("flow", sub=1, credit=1)
        eq(reader.next("msg")["data"], n, "one for one")
    reader.barrier()
    eq(reader.pending("msg"), [], "beyond the credit")


@case
def credit_is_no_loss_as_long_as_the_log_holds_it(t):
    """overflow pause over a log of 20: what was trimmed meanwhile is one gap; received + lost = published."""
    broker = t.broker(config=LOGS)
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("short/a", sub=1, credit=5)
    for n in range(1, 101):
        writer.pub("short/a", n)
    got = [m["data"] for m in reader.msgs(5)]
    reader.send("flow", sub=1, credit=1000)
    writer.pub("short/a", "end")
    frames = reader.until(lambda f: f.get("data") == "end")
    gaps = [f for f in frames if f["op"] == "gap"]
    got += [f["data"] for f in frames if f["op"] == "msg"][:-1]
    eq(len(gaps), 1, f"gaps: {gaps}")
    has(gaps[0], reason="trimmed", sub=1)
    eq(gaps[0].get("lost", 0) + len(got), 100, f"lost + received; {gaps}")
    eq(got, sorted(got), "order")


@case
def credit_with_drop_oldest_announces_what_it_dropped(t):
    broker = t.broker(config=LOGS)
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("nolog/a", sub=1, credit=5, overflow="drop_oldest")
    for n in range(1, 51):
        writer.pub("nolog/a", n)
    reader.barrier()
    reader.send("flow", sub=1, credit=1000)
    reader.barrier()
    writer.pub("nolog/a", "end")
    frames = reader.until(lambda f: f.get("data") == "end")
    got = [f["data"] for f in frames if f["op"] == "msg"][:-1]
    lost = sum(f.get("lost", 0) for f in frames if f["op"] == "gap")
    eq(len(got) + lost, 50, f"received + lost; {[f for f in frames if f['op'] == 'gap']}")
    ok(all(f["reason"] == "overflow" for f in frames if f["op"] == "gap"), "reason", frames)
    eq(got[:5], [1, 2, 3, 4, 5], "what the credit covered")


@case
def credit_with_close_sends_what_it_covered_then_4504(t):
    broker = t.broker(config=LOGS)
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("nolog/a", sub=1, credit=3)
    for n in range(1, 11):
        writer.pub("nolog/a", n)
    frames = reader.until(lambda f: f["op"] == "bye")
    eq([f["data"] for f in frames if f["op"] == "msg"], [1, 2, 3], "covered by the credit")
    has(frames[-1], close=4504, retry=True)
    eq(reader.ws.wait_close()[0], 4504, "close code")


@case
def credit_with_conflate_gives_the_newest_when_flow_comes(t):
    broker = t.broker()
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("credit/c", sub=1, credit=1, overflow="conflate")
    for n in range(1, 31):
        writer.pub("credit/c", n)
    has(reader.next("msg"), data=1)
    reader.barrier()
    eq(reader.pending("msg"), [], "beyond the credit")
    reader.send("flow", sub=1, credit=10)
    reader.barrier()
    got = [m["data"] for m in reader.pending("msg")]
    eq(got[-1:], [30], f"the newest; {got}")
    ok(len(got) < 29, "nothing was conflated", got)


@case
def control_frames_cost_no_credit(t):
    broker = t.broker()
    reader, other = t.client(broker), t.client(broker)
    reader.sub("credit/p", sub=1, credit=2, presence=True)
    for _ in range(3):
        has(reader.call("ping"), op="pong")
    other.sub("credit/p")
    reader.next("join")
    other.pub("credit/p", 1)
    other.pub("credit/p", 2)
    eq([m["data"] for m in reader.msgs(2)], [1, 2], "both credits are still there")


# Overflow: readers that stop reading ------------------------------------------------------------------------------

PAYLOAD = "x" * 16000


def stopped_reader(t, broker, topic, count, **fields):
    """Subscribes, stops reading, and has count × 16 KB published, far more than kernel, library and queue hold."""
    reader, writer = t.client(broker, rcvbuf=4096, timeout=20 * SLOW), t.client(broker)
    reader.sub(topic, **fields)
    bystander = t.client(broker, timeout=20 * SLOW)
    bystander.sub(topic)
    for n in range(1, count + 1):
        writer.pub(topic, [n, PAYLOAD])
        has(bystander.next("msg"), data=[n, PAYLOAD])
    return reader, writer


def drain(reader, writer, topic):
    writer.pub(topic, ["end"])
    frames = reader.until(lambda f: f.get("data") == ["end"], timeout=30 * SLOW)
    numbers = [f["data"][0] for f in frames if f["op"] == "msg"][:-1]
    eq(numbers, sorted(set(numbers)), "order without repeats")
    return numbers, [f for f in frames if f["op"] == "gap"]


@table([("by default", {}), ("asked for", {"overflow": "pause"}), ("by wildcard", {"wild": True}), ("with a number", {"credit": 100000})],
       broker={"config": LOGS, "settings": SMALL}, timeout=120)
def pause_goes_on_from_the_log_and_loses_nothing(t, broker, fields):
    topic = f"long/{time.monotonic_ns()}"
    fields = dict(fields)
    reader, writer = t.client(broker, rcvbuf=4096, timeout=20 * SLOW), t.client(broker)
    reader.sub(f"{topic}/#" if fields.pop("wild", False) else topic, **fields)
    for n in range(1, 301):
        writer.pub(topic, [n, PAYLOAD])
    got, gaps = drain(reader, writer, topic)
    eq(got, list(range(1, 301)), "received")
    eq(gaps, [], "gaps")
    writer.pub(topic, ["live again"])
    has(reader.next("msg"), data=["live again"])


@case(timeout=60)
def pause_says_what_the_log_no_longer_held(t):
    broker = t.broker(config=LOGS, settings=SMALL)
    reader, writer = stopped_reader(t, broker, "short/a", 200, sub=1, overflow="pause")
    got, gaps = drain(reader, writer, "short/a")
    eq(len(got) + sum(g.get("lost", 0) for g in gaps), 200, f"received + lost; {gaps}")
    ok(gaps and all(g["reason"] == "trimmed" for g in gaps), "gap with reason trimmed", gaps)


@case(timeout=60)
def pause_of_a_plain_subscription_announces_loss_as_well(t):
    broker = t.broker(config=LOGS, settings=SMALL)
    reader, writer = stopped_reader(t, broker, "short/a", 200)
    got, gaps = drain(reader, writer, "short/a")
    eq(len(got) + sum(g.get("lost", 0) for g in gaps), 200, f"received + lost; {gaps}")


@case(timeout=60)
def drop_oldest_keeps_the_newest_and_counts_the_rest(t):
    broker = t.broker(config=LOGS, settings=SMALL)
    for topic in ("nolog/d", "long/d"):
        reader, writer = stopped_reader(t, broker, topic, 200, sub=1, overflow="drop_oldest")
        got, gaps = drain(reader, writer, topic)
        ok(gaps and all(g["reason"] == "overflow" and g["sub"] == 1 for g in gaps), "gap with reason overflow", gaps)
        eq(len(got) + sum(g.get("lost", 0) for g in gaps), 200, f"received + lost on {topic}")
        eq(got[-1], 200, "the newest")


@case(timeout=60)
def conflate_as_overflow_keeps_the_newest_of_each_topic(t):
    broker = t.broker(config=LOGS, settings=SMALL)
    for topic in ("nolog/c", "long/c"):
        reader, writer = stopped_reader(t, broker, topic, 200, sub=1, overflow="conflate")
        got, _ = drain(reader, writer, topic)
        ok(len(got) < 200, "nothing was conflated")


@table([("by default without a log", "nolog/x", {}), ("asked for", "nolog/y", {"overflow": "close"}),
        ("asked for on a log", "long/y", {"overflow": "close"})], broker={"config": LOGS, "settings": SMALL}, timeout=120)
def close_is_4504_for_a_reader_that_comes_back_in_time(t, broker, topic, fields):
    reader, writer = t.client(broker, rcvbuf=4096, timeout=20 * SLOW), t.client(broker)
    reader.sub(topic, **fields)
    for n in range(1, 101):
        writer.pub(topic, [n, PAYLOAD])
    frames = reader.until(lambda f: f["op"] == "bye")
    has(frames[-1], close=4504, retry=True, code="slow_consumer")
    numbers = [f["data"][0] for f in frames if f["op"] == "msg"]
    eq(numbers, list(range(1, len(numbers) + 1)), "whole frames in order before the bye")
    eq(reader.ws.wait_close()[0], 4504, "close code")


@case(timeout=60)
def a_reader_that_stays_away_is_cut(t):
    broker = t.broker(config=LOGS, settings={**SMALL, "timeouts.close": "500ms"})
    before = len(broker.fds())
    reader = t.client(broker, rcvbuf=4096, timeout=20 * SLOW)
    writer = t.client(broker)
    reader.sub("nolog/z")
    for n in range(1, 101):
        writer.pub("nolog/z", [n, PAYLOAD])
    deadline = time.monotonic() + 10 * SLOW
    while len(broker.fds()) > before + 1:
        if time.monotonic() > deadline:
            fail("the socket of a reader that does not read is still open")
        time.sleep(0.05)


@case
def pause_without_a_log_is_unsupported(t):
    broker = t.broker(config=LOGS)
    client = t.client(broker)
    is_error(client.call("sub", topic="nolog/a", overflow="pause"), "unsupported", 422)
    client.sub("#", overflow="pause")
    client.pub("nolog/a", 1)
    has(client.next("msg"), data=1)


@case(timeout=60)
def a_rules_overflow_is_the_default_of_its_topics(t):
    broker = t.broker(config={"topics": [{"filter": "r/#", "log": "memory", "overflow": "drop-oldest", "max-count": 100000, "max-bytes": "64MiB"}]},
                      settings=SMALL)
    reader, writer = stopped_reader(t, broker, "r/a", 200, sub=1, credit=100000)
    got, gaps = drain(reader, writer, "r/a")
    eq(len(got) + sum(g.get("lost", 0) for g in gaps), 200, "received + lost")
    ok(gaps, "drop-oldest of the rule was not applied")
    eq(got[-1], 200, "the newest is kept")


@case(timeout=90, checked=False)
def stopped_readers_cost_the_others_nothing_and_memory_stays_bounded(t):
    broker = t.broker(config=LOGS)
    stopped = []
    for n in range(20):
        reader = t.client(broker, rcvbuf=4096)
        reader.sub("nolog/s", overflow="drop_oldest")
        stopped.append(reader)
    good, writer = t.client(broker, timeout=20), t.client(broker)
    good.sub("nolog/s", credit=1000000)
    before = broker.rss()
    for n in range(2000):
        writer.send("pub", topic="nolog/s", data=[n, PAYLOAD])
        if n % 20 == 19:
            writer.barrier()
            good.msgs(20)
    used = broker.rss() - before
    ok(used < 20 * (1 << 21) + (32 << 20), f"{used >> 20} MiB for 20 stopped readers with 1 MiB of queue each")
    has(good.call("ping"), op="pong")


@case(timeout=60)
def gap_accounting_holds_over_many_stops(t):
    """A reader that reads in fits and starts with drop_oldest: what it got plus what it was told is what was sent."""
    broker = t.broker(config=LOGS, settings=SMALL)
    reader = t.client(broker, rcvbuf=4096, timeout=20 * SLOW)
    reader.sub("nolog/g", sub=1, overflow="drop_oldest")
    total = 600

    def publish():
        writer = Client(broker.public, timeout=20 * SLOW)
        for n in range(1, total + 1):
            writer.pub("nolog/g", [n, PAYLOAD])
        writer.pub("nolog/g", ["end"])
        writer.abort()
    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    got, lost, last = 0, 0, 0
    while True:
        frame = reader.next(None)
        if frame["op"] == "gap":
            lost += frame["lost"]
        elif frame["op"] == "msg":
            if frame["data"] == ["end"]:
                break
            ok(frame["data"][0] > last, "order")
            eq(frame["data"][0], got + lost + 1, "a message beside what was received and announced")
            got, last = got + 1, frame["data"][0]
            if got % 40 == 0:
                time.sleep(0.1)
    thread.join()
    eq(got + lost, total, "received + lost")


@case(timeout=60)
def a_reader_that_goes_away_while_paused_leaves_nothing(t):
    broker = t.broker(config=LOGS, settings=SMALL)
    for turn in range(5):
        reader, writer = t.client(broker, rcvbuf=4096), t.client(broker)
        reader.sub("long/gone", **{"from": "first"})
        for n in range(60):
            writer.pub("long/gone", [n, PAYLOAD])
        reader.abort()
    try:
        eq(writer.pub("long/gone", 1)["matched"] <= 5, True, "matched")
    except Gone:
        fail("the writer was cut")
    lacks(has(writer.call("ping"), op="pong"), "code")
