"""Durable subscriptions and work queues: the broker remembers under a name what was acknowledged, over connections, workers
and, with a log on disk, over crashes."""
import random
import signal
import time

from support.broker import SLOW
from support.check import eq, has, is_error, ok
from support.runner import case, table

DISK = {"topics": [{"filter": "d/#", "log": "disk", "max-count": 100000}]}
WORKERS = [("one worker thread", 1), ("two worker threads", 2)]


def reader(t, broker, topic="a", name="me", **fields):
    client = t.client(broker, timeout=15 * SLOW)
    client.answer_to_sub = client.sub(topic, sub=1, durable=name, **fields)
    return client


def ack(client, m, **fields):
    client.send("ack", sub=1, topic=m["topic"], offset=m["offset"], epoch=m["epoch"], **fields)


def ack_kept(client, m, **fields):
    client.ok("ack", sub=1, topic=m["topic"], offset=m["offset"], epoch=m["epoch"], **fields)


def data_of(frames):
    return [m["data"] for m in frames]


def publish(client, numbers, topic=lambda n: "d/a"):
    """Many in flight, each acknowledged."""
    client.send_many([{"op": "pub", "id": f"p{n}", "topic": topic(n), "data": n} for n in numbers])
    for n in numbers:
        has(client.answer(f"p{n}"), f"publish {n}", op="ok")


def waiting(client):
    """What came so far; a message of its own ends it."""
    client.barrier()
    return data_of(client.pending("msg"))


@table(WORKERS)
def who_comes_back_goes_on_behind_what_was_acknowledged(t, broker, workers):
    broker = t.broker(workers=workers)
    writer = t.client(broker)
    first = reader(t, broker)
    for n in range(10):
        writer.pub("a", n)
    got = first.msgs(10, sub=1)
    eq(data_of(got), list(range(10)), "live")
    ack_kept(first, got[5], upto=True)
    first.abort()
    writer.pub("a", 10)
    for _ in range(4):  # whichever worker it lands on
        again = reader(t, broker)
        has(again.answer_to_sub, recovered=True)
        eq(data_of(again.msgs(5)), [6, 7, 8, 9, 10], "behind the acknowledged")
        again.finish()
    last = reader(t, broker)
    ack_kept(last, last.msgs(5)[-1], upto=True)
    last.finish()
    back = reader(t, broker, **{"from": "first"})
    writer.pub("a", 11)
    eq(data_of([back.next("msg")]), [11], "nothing comes again")


@case
def acks_without_an_id_are_kept_when_the_connection_ends(t):
    broker = t.broker(workers=2)
    writer, first = t.client(broker), reader(t, broker)
    for n in range(100):
        writer.pub("a", n)
    for m in first.msgs(100):
        ack(first, m)
    first.barrier()
    first.finish()
    deadline = time.monotonic() + 10 * SLOW
    while True:  # the end of the old connection and the new one race
        back = reader(t, broker)
        writer.pub("marker", 0)
        back.barrier()
        time.sleep(0.1)
        if waiting(back) == [] or time.monotonic() > deadline:
            break
        back.finish()
    writer.pub("a", 100)
    eq(data_of([back.next("msg")]), [100], "nothing comes again")


@case
def it_begins_at_its_from_and_remembers_from_there(t):
    broker = t.broker()
    writer = t.client(broker)
    for n in range(3):
        writer.pub("a", n)
    fresh = reader(t, broker, name="new")
    fresh.finish()
    first = reader(t, broker, name="first", **{"from": "first"})
    eq(data_of(first.msgs(3)), [0, 1, 2], "from first")
    first.finish()
    writer.pub("a", 3)
    eq(data_of(reader(t, broker, name="new").msgs(1)), [3], "published while away")
    eq(data_of(reader(t, broker, name="first").msgs(4)), [0, 1, 2, 3], "never acknowledged")


@table(WORKERS)
def whoever_comes_last_has_the_name(t, broker, workers):
    broker = t.broker(workers=workers)
    writer = t.client(broker)
    holders = [reader(t, broker)]
    writer.pub("a", 0)
    holders[0].next("msg")
    for _ in range(4):
        holders.append(reader(t, broker))
        eq(data_of(holders[-1].msgs(1)), [0], "not acknowledged yet")
        end = holders[-2].next("end")
        has(end, sub=1, code="sub_exists")
        ok(end["message"], "a message", end)
        is_error(holders[-2].call("ack", sub=1, topic="a", offset=1, epoch="x"), "unknown_sub", 404)
    writer.pub("a", 1)
    eq(data_of([holders[-1].next("msg")]), [1], "the holder")
    for former in holders[:-1]:
        eq(waiting(former), [], "a former holder")


@case
def unsub_keeps_the_place(t):
    broker = t.broker()
    writer, client = t.client(broker), reader(t, broker)
    writer.pub("a", 0)
    ack(client, client.next("msg"))
    writer.pub("a", 1)
    client.next("msg")
    client.ok("unsub", sub=1)
    writer.pub("a", 2)
    eq(waiting(client), [], "after unsub")
    client.sub("a", sub=1, durable="me")
    eq(data_of(client.msgs(2)), [1, 2], "again")


@case
def each_kind_of_client_has_the_same_names(t):
    broker = t.broker()
    writer, js = t.client(broker), reader(t, broker)
    for n in range(4):
        writer.pub("a", n)
    ack_kept(js, js.msgs(4)[1], upto=True)
    js.finish()
    binary = t.client(broker, kind="cbor")
    binary.sub("a", sub=1, durable="me")
    eq(data_of(binary.msgs(2)), [2, 3], "in CBOR")


@case
def credit_and_filter_work_with_it(t):
    broker = t.broker()
    writer = t.client(broker)
    client = reader(t, broker, credit=2, filter={"data.n": {"ge": 10}})
    for n in range(20):
        writer.pub("a", {"n": n})
    eq([m["data"]["n"] for m in client.msgs(2)], [10, 11], "with credit 2")
    client.barrier()
    eq(client.pending("msg"), [], "beyond the credit")
    client.send("flow", sub=1, credit=3)
    got = client.msgs(3)
    eq([m["data"]["n"] for m in got], [12, 13, 14], "three more")
    ack_kept(client, got[-1], upto=True)
    client.finish()
    again = reader(t, broker, filter={"data.n": {"ge": 10}})
    eq([m["data"]["n"] for m in again.msgs(5)], list(range(15, 20)), "the rest")


@case(timeout=60)
def at_the_bound_of_the_unacknowledged_it_waits(t):
    broker = t.broker(config={"topics": [{"filter": "a", "max-count": 50000, "max-bytes": "1GiB"}]})
    writer, client = t.client(broker), reader(t, broker)
    total = 20000
    for first in range(0, total, 500):
        writer.send_many([{"op": "pub", "topic": "a", "data": n} for n in range(first, first + 500)])
        writer.barrier()
    got = client.msgs(16384)
    client.barrier()
    eq(client.pending("msg"), [], "beyond 16,384 without an ack")
    ack(client, got[99], upto=True)
    got += client.msgs(100)
    client.barrier()
    eq(client.pending("msg"), [], "as many as were acknowledged")
    ack(client, got[-1], upto=True)
    got += client.msgs(total - len(got))
    eq(data_of(got), list(range(total)), "all, in order")


@table(WORKERS)
def a_wildcard_remembers_every_topic(t, broker, workers):
    broker = t.broker(workers=workers, config={"topics": [{"filter": "w/nolog", "log": "none"}]})
    writer, client = t.client(broker), reader(t, broker, "w/#")
    for n in range(40):
        writer.pub(f"w/{n % 8}", n)
    writer.pub("w/nolog", "passing")
    got = client.msgs(41)
    has(next(m for m in got if m["topic"] == "w/nolog"), data="passing", sub=1)
    for m in got:
        if m["topic"] != "w/nolog":
            ack(client, m)
    ack_kept(client, got[0])
    client.finish()
    for n in range(40, 48):
        writer.pub(f"w/{n % 8}", n)
    writer.pub("w/nolog", "missed")
    again = reader(t, broker, "w/#")
    eq(sorted(data_of(again.msgs(8))), list(range(40, 48)), "since then")
    eq(waiting(again), [], "more")


@case
def a_place_that_is_gone_is_told(t):
    broker = t.broker(config={"topics": [{"filter": "short", "max-count": 10}]})
    writer, client = t.client(broker), reader(t, broker, "short")
    client.finish()
    for n in range(50):
        writer.pub("short", n)
    again = reader(t, broker, "short")
    has(again.answer_to_sub, recovered=False)
    has(again.next("gap"), sub=1, reason="trimmed")
    eq(data_of([again.next("msg")]), [49], "then as latest")
    writer.pub("short", 50)
    eq(data_of([again.next("msg")]), [50], "live")


REFUSED = [("conflate", {"durable": "me", "conflate": {"hz": 1}}, "a", "unsupported"),
           ("group", {"durable": "me", "group": "g", "ack": True}, "a", "unsupported"),
           ("without a log", {"durable": "me"}, "nolog/a", "unsupported"),
           ("a name with NUL", {"durable": "a\0b"}, "a", "bad_frame")]


@table([(name, fields, topic, code) for name, fields, topic, code in REFUSED],
       broker={"config": {"topics": [{"filter": "nolog/#", "log": "none"}]}})
def what_it_cannot_do(t, broker, fields, topic, code):
    answer = t.client(broker).call("sub", topic=topic, **fields)
    has(answer, op="err", code=code)
    ok(answer["message"], "says why", answer)


@case
def nack_is_for_work_queues(t):
    broker = t.broker()
    writer, client = t.client(broker), reader(t, broker)
    at = writer.pub("a", 0)
    is_error(client.call("nack", sub=1, topic="a", offset=at["offset"], epoch=at["epoch"]), "unsupported", 422)


@case(timeout=60)
def readers_that_come_and_go_miss_nothing(t):
    """Connections of one name end at random moments; what was acknowledged and answered never comes again."""
    broker = t.broker(workers=2, config={"topics": [{"filter": "a", "max-count": 50000}]})
    writer, total, dice = t.client(broker), 2000, random.Random(7)
    client, sent, kept, seen = reader(t, broker), 0, -1, set()
    while sent < total:
        writer.send_many([{"op": "pub", "topic": "a", "data": n} for n in range(sent, sent + 50)])
        sent += 50
        writer.barrier()
        client.barrier()
        got = client.pending("msg")
        if got:
            ok(got[0]["data"] > kept, "came again though its ack was answered", got[0], kept)
            ok(got[0]["data"] <= max(seen, default=-1) + 1, "a hole", got[0])
            seen |= set(data_of(got))
            at = dice.choice(got)
            ack_kept(client, at, upto=True)
            kept = at["data"]
        if dice.random() < 0.4:
            client.abort() if dice.random() < 0.5 else client.finish()
            client = reader(t, broker)
    while total - 1 not in seen:
        seen.add(client.next("msg")["data"])
    eq(len(seen), total, "messages")


# --- after a crash ------------------------------------------------------------------------------------------------------


def crash(t, broker):
    """Its connections end first, so that nothing waits for them."""
    broker.kill()
    t.close_connections()
    broker.stop()


@table(WORKERS)
def a_place_outlives_a_crash(t, broker, workers):
    data = t.folder()
    broker = t.broker(config=DISK, data=data, workers=workers)
    writer, client = t.client(broker), reader(t, broker, "d/a")
    for n in range(20):
        writer.pub("d/a", n)
    got = client.msgs(20)
    ack_kept(client, got[11], upto=True)
    crash(t, broker)
    broker = t.broker(config=DISK, data=data, workers=3 - workers)
    writer = t.client(broker)
    writer.pub("d/a", 20)
    client = reader(t, broker, "d/a")
    has(client.answer_to_sub, recovered=True)
    eq(data_of(client.msgs(9)), list(range(12, 21)), "behind the acknowledged")


@case(timeout=90)
def an_answered_ack_is_kept_whenever_the_process_dies(t):
    data, dice = t.folder(), random.Random(11)
    broker, kept, sent, seen = t.broker(config=DISK, data=data, workers=2), -1, 0, set()
    for _ in range(8):
        writer, client = t.client(broker), reader(t, broker, "d/a", **{"from": "first"})
        has(client.answer_to_sub, recovered=True)
        first = None
        for _ in range(dice.randrange(1, 12)):
            publish(writer, range(sent, sent + 20))
            sent += 20
            got = client.msgs(5)
            first = got[0] if first is None else first
            seen |= set(data_of(got))
            if dice.random() < 0.7:
                ack_kept(client, got[-1], upto=True)
                kept = got[-1]["data"]
            else:
                ack(client, got[-1], upto=True)
        ok(first["data"] <= max(seen) + 1, "a hole", first)
        crash(t, broker)
        broker = t.broker(config=DISK, data=data, workers=dice.randrange(1, 4))
    writer, client = t.client(broker), reader(t, broker, "d/a")
    writer.pub("d/a", "end")
    rest = [f["data"] for f in client.until(lambda f: f["op"] == "msg" and f["data"] == "end") if f["op"] == "msg"][:-1]
    ok(not rest or rest[0] > kept, "came again though its ack was answered", rest[:3], kept)
    eq(sorted(seen | set(rest)), list(range(sent)), "messages")


@table(WORKERS)
def an_orderly_end_keeps_acks_that_nobody_waited_for(t, broker, workers):
    data = t.folder()
    broker = t.broker(config=DISK, data=data, workers=workers, settings={"drain.time": "100ms"})
    writer, client, member = t.client(broker), reader(t, broker, "d/a"), worker(t, broker, "d/a")
    publish(writer, range(50))
    for m in client.msgs(50):
        ack(client, m)
    for m in member.msgs(50):
        ack(member, m)
    client.barrier()
    member.barrier()
    broker.signal(signal.SIGTERM)
    eq(broker.wait_exit(20 * SLOW), 0, "exit code")
    t.close_connections()
    broker = t.broker(config=DISK, data=data, workers=workers)
    writer, client, member = t.client(broker), reader(t, broker, "d/a"), worker(t, broker, "d/a")
    publish(writer, [50])
    eq(data_of([client.next("msg")]), [50], "the subscription")
    eq(data_of([member.next("msg")]), [50], "the work queue")


@case(timeout=60)
def a_wildcard_over_memory_and_disk_keeps_what_the_disk_has(t):
    data = t.folder()
    broker = t.broker(config=DISK, data=data)
    writer, client = t.client(broker), reader(t, broker, "#")
    for n in range(10):
        writer.pub("d/a", n)
        writer.pub("mem/a", n)
    got = client.msgs(20)
    for m in got:
        if m["topic"] == "mem/a" or m["data"] < 6:
            ack(client, m)
    ack_kept(client, got[0])
    crash(t, broker)
    broker = t.broker(config=DISK, data=data)
    client = reader(t, broker, "#")
    has(client.answer_to_sub, recovered=False)
    has(client.next("gap"), sub=1, reason="epoch")
    eq(data_of(client.msgs(4, topic="d/a")), [6, 7, 8, 9], "of the disk")
    client.finish()
    disk_only = reader(t, broker, "d/#", name="disk")
    has(disk_only.answer_to_sub, recovered=True)


# --- work queues --------------------------------------------------------------------------------------------------------


def worker(t, broker, topic="d/jobs", name="g", **fields):
    client = t.client(broker, timeout=15 * SLOW)
    client.sub(topic, sub=1, group=name, ack=True, **fields)
    return client


@table(WORKERS)
def an_ack_of_a_job_is_answered_when_it_is_kept(t, broker, workers):
    broker = t.broker(workers=workers)
    client, writer = worker(t, broker, "jobs"), t.client(broker)
    for n in range(50):
        writer.pub("jobs", n)
    for m in client.msgs(50):
        ack_kept(client, m)
    ack_kept(client, m)  # the last one again: nothing is left to keep
    client.ok("nack", sub=1, topic="jobs", offset=m["offset"], epoch=m["epoch"])


@table(WORKERS)
def jobs_outlive_a_crash(t, broker, workers):
    data = t.folder()
    broker = t.broker(config=DISK, data=data, workers=workers)
    client, writer = worker(t, broker, max_try=4), t.client(broker)
    for n in range(10):
        writer.pub("d/jobs", n)
    got = client.msgs(10)
    for m in got:
        if m["data"] % 2:
            ack_kept(client, m)
    crash(t, broker)
    for again in (2, 3):
        broker = t.broker(config=DISK, data=data, workers=3 - workers)
        client = worker(t, broker, max_try=4)
        got = client.msgs(5)
        eq(sorted(data_of(got)), [0, 2, 4, 6, 8], "not acknowledged")
        ok(all(2 <= m["try"] <= again for m in got), "tries go on", got)
        time.sleep(0.3 * SLOW)  # what was handed out is written down soon
        crash(t, broker)
    broker = t.broker(config=DISK, data=data, workers=workers)
    client, writer, dead = worker(t, broker, max_try=4), t.client(broker), t.client(broker)
    dead.sub("$DEAD/#")
    got = client.msgs(5)
    ok(all(m["try"] == 4 for m in got), "the fourth try", got)
    client.send("nack", sub=1, topic="d/jobs", offset=got[0]["offset"], epoch=got[0]["epoch"])
    has(dead.next("msg"), topic="$DEAD/d/jobs", data=got[0]["data"])
    for m in got[1:]:
        ack_kept(client, m)
    writer.pub("d/jobs", 10)
    eq(data_of([client.next("msg")]), [10], "the next one")


@case(timeout=90)
def jobs_are_done_whenever_the_process_dies(t):
    data, dice = t.folder(), random.Random(3)
    broker, sent, kept, seen = t.broker(config=DISK, data=data, workers=2), 0, set(), set()
    for _ in range(8):
        members, writer = [worker(t, broker, "d/+") for _ in range(2)], t.client(broker)
        for _ in range(dice.randrange(2, 10)):
            publish(writer, range(sent, sent + 10), lambda n: f"d/{n % 3}")
            sent += 10
            for client in members:
                client.barrier()
                for m in client.pending("msg"):
                    ok(m["data"] not in kept, "came again though its ack was answered", m)
                    seen.add(m["data"])
                    if dice.random() < 0.5:
                        ack_kept(client, m)
                        kept.add(m["data"])
        crash(t, broker)
        broker = t.broker(config=DISK, data=data, workers=dice.randrange(1, 4))
    last, writer = worker(t, broker, "d/+"), t.client(broker)
    deadline = time.monotonic() + 30 * SLOW
    while len(kept) < sent and time.monotonic() < deadline:
        m = last.next("msg")
        ok(m["data"] not in kept, "came again though its ack was answered", m)
        ack_kept(last, m)
        kept.add(m["data"])
    eq(sorted(kept), list(range(sent)), "jobs")
