"""Replay joins live delivery without hole, repeat or disorder, whatever is published meanwhile. Randomised: the seed is
printed, SLUICE_TEST_SEED repeats it."""
import os
import random
import threading
import time

from support.broker import SLOW
from support.check import eq, fail, ok
from support.runner import case
from support.sluice_client import Client

SEED = int(os.environ.get("SLUICE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


def keep(log):
    return {"topics": [{"filter": "load/#", "log": log, "max-count": 100000, "max-bytes": "256MiB"}]}


class Publisher(threading.Thread):
    """Publishes 1, 2, 3 … on each of its topics in bursts of random size until told to stop."""

    def __init__(self, broker, topics, seed, pause=0.004, stop_at=100000):
        super().__init__(daemon=True)
        self.client = Client(broker.public, timeout=20 * SLOW)
        self.topics, self.random, self.pause, self.stop_at = topics, random.Random(seed), pause, stop_at
        self.counts = {topic: 0 for topic in topics}
        self.stopping = threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.stopping.is_set() and min(self.counts.values()) < self.stop_at:
                burst = []
                for _ in range(self.random.randrange(1, 30)):
                    topic = self.random.choice(self.topics)
                    self.counts[topic] += 1
                    burst.append({"op": "pub", "topic": topic, "data": self.counts[topic], "key": "k"})
                self.client.send_many(burst)
                self.client.barrier()
                time.sleep(self.random.random() * self.pause)
            for topic in self.topics:
                self.client.pub(topic, "end")
        except Exception as error:
            self.error = error
        finally:
            self.client.abort()

    def finish(self):
        self.stopping.set()
        self.join(30 * SLOW)
        if self.error:
            raise self.error
        ok(not self.is_alive(), "the publisher did not end")


def take(reader, frames, seconds):
    """Reads for a while without asking for anything."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            frames.append(reader.next(None, timeout=max(0.01, until - time.monotonic())))
        except AssertionError:
            return


def check_run(frames, topic, first, last=None):
    """Messages of one topic: consecutive offsets from `first` (None: wherever they begin), payload like the offset."""
    got = [f for f in frames if f["op"] == "msg" and f["topic"] == topic]
    offsets = [f["offset"] for f in got]
    if not offsets:
        return offsets
    start = offsets[0] if first is None else first
    for at, offset in enumerate(offsets):
        if offset != start + at:
            fail(f"{topic}: offset {offset} where {start + at} was due (seed {SEED})", offsets[max(0, at - 5):at + 5])
    ok(all(f["data"] in (f["offset"], "end") for f in got), f"{topic}: payload does not fit its offset (seed {SEED})")
    if last is not None:
        eq(offsets[-1], last, f"last offset of {topic} (seed {SEED})")
    return offsets


def run_single_topic(t, workers, log):
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    broker = t.broker(config=keep(log), workers=workers)
    publisher = Publisher(broker, ["load/a"], SEED)
    publisher.start()
    epoch, seen = None, 0
    joins = ["first", "new", "latest", "last", "offset", "offset", "since", "offset", "first", "offset"]
    readers = []
    for how in joins:
        time.sleep(dice.random() * 0.1)
        reader, frames = t.client(broker, timeout=20 * SLOW), []
        start = {"last": {"last": dice.randrange(1, 200)}, "since": {"since": int(time.time() * 1000) - dice.randrange(200)},
                 "offset": {"offset": dice.randrange(seen + 1), "epoch": epoch}}.get(how, how)
        answer = reader.sub("load/a", **{"from": start})
        ok(answer["recovered"], "not recovered", answer)
        epoch = answer.get("epoch") or epoch
        take(reader, frames, dice.random() * 0.1)
        seen = max([seen] + [f.get("offset", 0) for f in frames])
        first = {"first": 1, "offset": start["offset"] + 1 if how == "offset" else None}.get(how)
        readers.append((how, reader, frames, first))
        if epoch is None and frames:
            epoch = next((f["epoch"] for f in frames if "epoch" in f), None)
    time.sleep(0.2)
    publisher.finish()
    for how, reader, frames, first in readers:
        if not any(f.get("data") == "end" for f in frames):
            frames += reader.until(lambda f: f.get("data") == "end", timeout=30 * SLOW)
        ok(not any(f["op"] == "gap" for f in frames), f"gap for a reader from {how} (seed {SEED})")
        check_run(frames, "load/a", first, publisher.counts["load/a"] + 1)


@case(timeout=90)
def joining_one_topic_under_load_leaves_no_hole_and_no_repeat(t):
    run_single_topic(t, 1, "memory")


@case(timeout=90)
def joining_one_topic_under_load_on_two_workers(t):
    run_single_topic(t, 2, "memory")


@case(timeout=90)
def joining_one_topic_on_disk_under_load_leaves_no_hole_and_no_repeat(t):
    run_single_topic(t, 1, "disk")


@case(timeout=90)
def joining_one_topic_on_disk_under_load_on_two_workers(t):
    run_single_topic(t, 2, "disk")


@case(timeout=120)
def joining_many_topics_by_wildcard_under_load(t):
    run_many_topics(t, "memory")


@case(timeout=120)
def joining_many_topics_on_disk_by_wildcard_under_load(t):
    run_many_topics(t, "disk")


def run_many_topics(t, log):
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    broker = t.broker(config=keep(log), workers=2)
    topics = [f"load/{n}" for n in range(7)]
    publishers = [Publisher(broker, topics[:4], SEED), Publisher(broker, topics[4:], SEED + 1)]
    for publisher in publishers:
        publisher.start()
    readers = []
    for how in ("first", "new", "latest", {"last": 30}, "first", "latest", {"last": 1}, "new"):
        time.sleep(dice.random() * 0.15)
        reader, frames = t.client(broker, timeout=20 * SLOW), []
        reader.sub(dice.choice(["load/#", "load/+", "+/+"]), **{"from": how})
        take(reader, frames, dice.random() * 0.1)
        readers.append((how, reader, frames))
    time.sleep(0.3)
    for publisher in publishers:
        publisher.finish()
    last = {topic: n + 1 for p in publishers for topic, n in p.counts.items()}
    for how, reader, frames in readers:
        ended = {f["topic"] for f in frames if f.get("data") == "end"}
        while len(ended) < len(topics):
            frames.append(reader.next(None, timeout=30 * SLOW))
            if frames[-1].get("data") == "end":
                ended.add(frames[-1]["topic"])
        ok(not any(f["op"] == "gap" for f in frames), f"gap for a reader from {how} (seed {SEED})")
        for topic in topics:
            offsets = check_run(frames, topic, 1 if how == "first" else None, last[topic])
            ok(offsets, f"nothing of {topic} from {how}")


@case(timeout=120)
def reconnecting_by_position_and_by_cursor_misses_nothing(t):
    run_reconnecting(t, "memory")


@case(timeout=120)
def reconnecting_to_topics_on_disk_misses_nothing(t):
    run_reconnecting(t, "disk")


def run_reconnecting(t, log):
    """Drops its connection at random moments; single topics resume by offset, the wildcard by cursor."""
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    broker = t.broker(config=keep(log), workers=2)
    topics = ["load/x", "load/y", "load/z"]
    publisher = Publisher(broker, topics, SEED)
    publisher.start()
    by_offset, position = [], {"offset": 0}
    by_cursor, cur = [], None
    probe = t.client(broker)
    while "epoch" not in position:
        position = {k: v for k, v in probe.sub("load/x").items() if k in ("offset", "epoch")}
        probe.ok("unsub", topic="load/x")
    check_from = position["offset"]
    for _ in range(8):
        one = t.client(broker, timeout=20 * SLOW)
        ok(one.sub("load/x", **{"from": position})["recovered"], "not recovered by position")
        frames = []
        take(one, frames, dice.random() * 0.3)
        one.abort()
        by_offset += frames
        for f in frames:
            if f["op"] == "msg":
                position = {"offset": f["offset"], "epoch": f["epoch"]}
        many = t.client(broker, timeout=20 * SLOW)
        answer = many.sub("load/+", **({"from": {"cur": cur}} if cur else {"from": "first"}))
        ok(answer["recovered"], "not recovered by cursor", answer)
        frames = []
        take(many, frames, dice.random() * 1.5)
        many.abort()
        by_cursor += frames
        for f in frames:
            cur = f["cur"] if f["op"] == "cur" else cur
    publisher.finish()
    one, many = t.client(broker, timeout=20 * SLOW), t.client(broker, timeout=20 * SLOW)
    one.sub("load/x", **{"from": position})
    if not any(f.get("data") == "end" for f in by_offset):
        by_offset += one.until(lambda f: f.get("data") == "end", timeout=20 * SLOW)
    check_run(by_offset, "load/x", check_from + 1, publisher.counts["load/x"] + 1)
    many.sub("load/+", **({"from": {"cur": cur}} if cur else {"from": "first"}))
    while len({f["topic"] for f in by_cursor if f.get("data") == "end"}) < 3:
        by_cursor.append(many.next(None, timeout=20 * SLOW))
    for topic in topics:
        offsets = {f["offset"] for f in by_cursor if f["op"] == "msg" and f["topic"] == topic}
        eq(offsets, set(range(1, publisher.counts[topic] + 2)), f"offsets of {topic} (seed {SEED})")


@case(timeout=600, long=True)
def soak_joining_again_and_again(t):
    for n in range(20):
        run_single_topic(t, 2, "disk" if n % 2 else "memory")
