"""Work queues: a group with ack:true gives each message to one member, and again if it was not done."""
import time

from support.broker import SLOW
from support.check import between, eq, has, is_error, ok
from support.runner import case, table
from support.wire import Gone


def worker(t, broker, topic="jobs/#", name="g", **fields):
    client = t.client(broker, timeout=15 * SLOW)
    client.sub(topic, sub=1, group=name, ack=True, **fields)
    return client


def ack(client, m, **fields):
    client.send("ack", sub=1, topic=m["topic"], offset=m["offset"], epoch=m["epoch"], **fields)


def nack(client, m, **fields):
    client.send("nack", sub=1, topic=m["topic"], offset=m["offset"], epoch=m["epoch"], **fields)


def collect(members, count, seconds=15, done=None):
    """Takes messages from all members, acknowledging each, until count different ones were seen."""
    seen, deadline = [], time.monotonic() + seconds * SLOW
    while len({m["data"] for _, m in seen}) < count and time.monotonic() < deadline:
        for client in members:
            try:
                got = client.next("msg", timeout=0.02)
            except AssertionError:
                continue
            seen.append((client, got))
            (done or ack)(client, got)
    return seen


@table([("one worker thread", 1), ("two worker threads", 2)])
def each_message_goes_to_one_member(t, broker, workers):
    broker = t.broker(workers=workers) if workers > 1 else broker
    members = [worker(t, broker) for _ in range(3)]
    writer = t.client(broker)
    for n in range(60):
        writer.pub(f"jobs/{n % 4}", n)
    seen = collect(members, 60)
    eq(sorted(m["data"] for _, m in seen), list(range(60)), "delivered")
    ok(all(m["sub"] == 1 and "offset" in m for _, m in seen), "sub and position")
    for client in members:
        ok(any(c is client for c, _ in seen), "a member got nothing of 60")
    for client in members:
        client.barrier()
        eq(client.pending("msg"), [], "delivered again though acknowledged")


@case
def two_groups_and_a_plain_reader_each_get_everything(t):
    broker = t.broker()
    a, b, plain, writer = worker(t, broker, name="a"), worker(t, broker, name="b"), t.client(broker), t.client(broker)
    plain.sub("jobs/#")
    for n in range(10):
        writer.pub("jobs/x", n)
    eq(sorted(m["data"] for _, m in collect([a], 10)), list(range(10)), "group a")
    eq(sorted(m["data"] for _, m in collect([b], 10)), list(range(10)), "group b")
    eq([m["data"] for m in plain.msgs(10)], list(range(10)), "plain")


@case
def not_acknowledged_in_time_is_delivered_again(t):
    broker = t.broker()
    sleepy = worker(t, broker, ack_wait_ms=300)
    writer = t.client(broker)
    writer.pub("jobs/x", "job")
    first = sleepy.next("msg")
    started = time.monotonic()
    again = has(sleepy.next("msg"), data="job", offset=first["offset"])
    between(time.monotonic() - started, 0.15, 5 * SLOW, "seconds until it came again")
    eq(again.get("try"), 2, "try")
    ack(sleepy, again)
    time.sleep(0.7)
    sleepy.barrier()
    eq(sleepy.pending("msg"), [], "came again though acknowledged")


@case
def nack_brings_it_again_at_once_or_after_a_delay(t):
    broker = t.broker()
    client, writer = worker(t, broker), t.client(broker)
    writer.pub("jobs/x", "job")
    first = client.next("msg")
    started = time.monotonic()
    nack(client, first)
    again = has(client.next("msg"), data="job")
    eq(again["try"], 2, "try")
    between(time.monotonic() - started, 0, 2 * SLOW, "seconds after nack")
    started = time.monotonic()
    nack(client, again, delay_ms=500)
    third = has(client.next("msg"), data="job")
    eq(third["try"], 3, "try")
    between(time.monotonic() - started, 0.4, 5 * SLOW, "seconds after nack with delay")
    ack(client, third)


@case
def what_a_leaving_member_held_goes_to_the_others(t):
    broker = t.broker(workers=2)
    one, two, writer = worker(t, broker), worker(t, broker), t.client(broker)
    for n in range(20):
        writer.pub("jobs/x", n)
    time.sleep(0.2)
    one.barrier()
    held = [m["data"] for m in one.pending("msg")]
    one.abort()
    seen = collect([two], 20)
    eq({m["data"] for _, m in seen}, set(range(20)), "all jobs")
    for _, m in seen:
        if m["data"] in held:
            ok(m.get("try", 1) >= 2, "a job that came again must count its try", m)


@case
def jobs_that_fail_too_often_go_to_dead(t):
    broker = t.broker()
    dead, client, writer = t.client(broker), worker(t, broker, max_try=2), t.client(broker)
    dead.sub("$DEAD/#")
    writer.pub("jobs/x", {"do": "it"}, key="k", headers={"h": "v"})
    for _ in range(2):
        nack(client, client.next("msg"))
    has(dead.next("msg"), topic="$DEAD/jobs/x", data={"do": "it"})
    time.sleep(0.2)
    client.barrier()
    eq(client.pending("msg"), [], "came again after max_try")
    writer.pub("jobs/x", "next")
    nack(client, has(client.next("msg"), data="next"), drop=True)
    has(dead.next("msg"), topic="$DEAD/jobs/x", data="next")


@case
def ack_upto_covers_all_before_it(t):
    broker = t.broker()
    client, writer = worker(t, broker, ack_wait_ms=500), t.client(broker)
    for n in range(10):
        writer.pub("jobs/x", n)
    got = client.msgs(10)
    ack(client, got[-1], upto=True)
    time.sleep(1.2)
    client.barrier()
    eq(client.pending("msg"), [], "came again")


@case
def a_group_begins_at_its_from_and_keeps_its_place(t):
    broker = t.broker()
    writer = t.client(broker)
    for n in range(5):
        writer.pub("jobs/x", n)
    first = worker(t, broker, **{"from": "first"})
    got = collect([first], 5)
    eq(sorted(m["data"] for _, m in got), list(range(5)), "from first")
    late = worker(t, broker, **{"from": "first"})
    writer.pub("jobs/x", "new")
    seen = collect([first, late], 1)
    eq([m["data"] for _, m in seen], ["new"], "a later member does not begin again")
    fresh = worker(t, broker, name="fresh")
    writer.pub("jobs/x", "newer")
    eq([m["data"] for _, m in collect([fresh], 1)], ["newer"], "from new")


@case
def credit_bounds_what_a_member_holds(t):
    broker = t.broker()
    busy, free, writer = worker(t, broker, credit=2), worker(t, broker), t.client(broker)
    for n in range(20):
        writer.pub("jobs/x", n)
    seen = collect([free], 18)
    busy.barrier()
    held = busy.pending("msg")
    ok(len(held) <= 2, f"{len(held)} messages with credit 2")
    eq(len({m["data"] for _, m in seen} | {m["data"] for m in held}), 20, "all jobs")


REFUSED = [("conflate", {"conflate": {"hz": 1}}, "jobs/x"), ("without a log", {}, "nolog/x")]


@table([(name, fields, topic) for name, fields, topic in REFUSED],
       broker={"config": {"topics": [{"filter": "nolog/#", "log": "none"}]}})
def what_a_group_cannot_do(t, broker, fields, topic):
    answer = t.client(broker).call("sub", topic=topic, group="g", ack=True, **fields)
    eq(answer["op"], "err", "answer")
    ok(answer["code"] in ("unsupported", "bad_frame"), "code", answer)


@case
def acks_that_make_no_sense_do_no_harm(t):
    broker = t.broker()
    client, writer = worker(t, broker), t.client(broker)
    at = writer.pub("jobs/x", 1)
    job = client.next("msg")
    for fields in ({"sub": 99, "topic": "jobs/x", "offset": 1, "epoch": at["epoch"]}, {"sub": 1, "topic": "other", "offset": 1, "epoch": at["epoch"]},
                   {"sub": 1, "topic": "jobs/x", "offset": 999, "epoch": at["epoch"]}, {"sub": 1, "topic": "jobs/x", "offset": 1, "epoch": "zz9"}):
        for op in ("ack", "nack"):
            client.send(op, **fields)
    client.barrier()
    ack(client, job)
    ack(client, job)
    has(client.call("ping"), op="pong")
    is_error(client.call("ack", sub=99, topic="jobs/x", offset=1, epoch=at["epoch"], id="x"), "unknown_sub", 404)


@case(timeout=60)
def jobs_survive_members_that_come_and_go(t):
    """Members leave at random moments; every job is done at least once and none is lost."""
    broker = t.broker(workers=2, config={"topics": [{"filter": "jobs/#", "max-count": 10000}]})
    keeper, writer = worker(t, broker, ack_wait_ms=1000, max_try=1000), t.client(broker)
    done, total = set(), 300
    for n in range(total):
        writer.send("pub", topic=f"jobs/{n % 3}", data=n)
    writer.barrier()
    for turn in range(10):
        guest = worker(t, broker, ack_wait_ms=1000, max_try=1000)
        try:
            for k, got in enumerate(guest.msgs(1 + turn % 3, timeout=0.5)):
                if k % 2:
                    ack(guest, got)
                    done.add(got["data"])
            guest.barrier()
        except (AssertionError, Gone):
            pass
        guest.abort()
    deadline = time.monotonic() + 30 * SLOW
    while len(done) < total and time.monotonic() < deadline:
        try:
            got = keeper.next("msg", timeout=0.5)
        except AssertionError:
            continue
        ack(keeper, got)
        done.add(got["data"])
    eq(len(done), total, f"jobs done; missing {sorted(set(range(total)) - done)[:10]}")
