"""Power cuts: the broker is killed under load, and its folder is then given what a disk might hold at that moment: what had
been flushed, with any part of what had not. Everything acknowledged is there after the restart, in a sound file. The
seed is printed, SLUICE_TEST_SEED repeats it (with the broker's own timing)."""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from support.broker import SLOW
from support.check import eq, ok
from support.disk import DROP, Faults, PowerCut
from support.ledger import Ledger, read_history
from support.load import Load, Publisher
from support.runner import case
from support.sluice_client import Client

SEED = int(os.environ.get("SLUICE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
CONFIG = {"topics": [{"filter": "d/#", "log": "disk"}, {"filter": "trim/#", "log": "disk", "max-count": 20}]}
CUTS_A_FOLDER = 10


def pick_short(dice):
    return dice.choice(("d/0", "d/1", "trim/0", "trim/1")), dice.choice((0, 0, 100, 3000)), {"retain": dice.random() < 0.1}


def pick_long(dice):
    return dice.choice(("d/0", "trim/0")), dice.randrange(1000, 60000), {}


class Cuts:
    def __init__(self, t, name):
        print(f"{name}: seed {SEED}")
        self.t, self.name, self.dice = t, name, random.Random(f"{SEED} {name}")
        self.cuts = self.acked = self.hits = 0

    def begin_folder(self):
        self.place = self.t.folder()
        self.data = self.place / "data"
        self.data.mkdir(mode=0o700)
        self.faults = self.t.keep(Faults(self.place, self.data, trace=True))
        self.ledger = Ledger()

    def start(self, wait=True):
        return self.t.broker(config=CONFIG, data=self.data, env=self.faults.env(), wait=wait,
                             workers=self.dice.choice((1, 2)))

    def work(self, picks):
        """Starts, publishes and is killed: at the start, under load, or while it ends."""
        phase = self.dice.choice(("start", "load", "load", "load", "load", "end"))
        broker = self.start(wait=phase != "start")
        if phase == "start":
            time.sleep(self.dice.random() * 0.1 * SLOW)
            broker.kill()
            broker.stop()
            return
        load = Load(broker, self.ledger)
        for at, pick in enumerate(picks):
            load.add(Publisher(load, f"{self.cuts}p{at}", self.dice, self.dice.choice((1, 8, 32)), pick))
        if phase == "load":
            killer = threading.Timer(self.dice.random() * 0.2 * SLOW, broker.process.kill)
            killer.start()
            load.run()
            killer.join()
        else:
            load.run(seconds=self.dice.random() * 0.1 * SLOW)
            broker.signal(signal.SIGTERM)
            time.sleep(self.dice.random() * 0.15 * SLOW)
        broker.kill()
        broker.exit_expected = None  # it may have come to its end before
        broker.stop()

    def cut(self, picks):
        disk = PowerCut(self.data)
        self.work(picks)
        disk.follow(self.faults.take_traces())
        lost = disk.leave(self.dice)
        self.cuts += 1
        self.ledger.name = f"{self.name}, seed {SEED}, cut {self.cuts}: {lost}"
        if (self.data / "sluice.db").exists():
            self.is_sound()
        self.everything_is_there()

    def is_sound(self):
        """Looked at in a copy: looking changes files too."""
        copy = self.place / "copy"
        shutil.copytree(self.data, copy)
        db = sqlite3.connect(copy / "sluice.db")
        try:
            found = [row[0] for row in db.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
        db.close()
        shutil.rmtree(copy)
        eq(found, ["ok"], f"{self.ledger.name}: integrity_check")

    def everything_is_there(self):
        broker = self.t.broker(config=CONFIG, data=self.data)
        client = Client(broker.public, timeout=20 * SLOW)
        for topic in sorted(self.ledger.sent):
            self.ledger.check(topic, read_history(client, topic), 20 if topic.startswith("trim/") else 0)
        client.abort()
        broker.kill()
        broker.stop()

    def run(self, cuts, picks):
        while self.cuts < cuts:
            if self.cuts % CUTS_A_FOLDER == 0:
                self.begin_folder()
            before = self.ledger.acked
            self.cut(picks)
            self.acked += self.ledger.acked - before
        print(f"{self.name}: {self.cuts} power cuts, {self.acked} acknowledged" + f", {self.hits} failed flushes" * bool(self.hits))
        ok(self.acked > cuts, f"only {self.acked} acknowledged in {self.cuts} rounds")


class CutsAfterLoss(Cuts):
    """A flush fails, and what it was for never reaches the disk, though it can be read until the power goes. The broker
    must not build on it: what it acknowledges later, in the same process or the next, has to be there."""

    def work(self, picks):
        self.faults.arm(["sync"], self.dice.randint(2, 45), DROP)
        broker = self.start(wait=False)
        ok(broker.ready.wait(15 * SLOW), "it neither starts nor ends")
        if hasattr(broker, "public"):
            self.publish(broker, "one", self.dice.random() < 0.5)
        self.hits += self.faults.hits
        self.faults.clear()
        self.end(broker)
        if self.dice.random() < 0.7:
            broker = self.start()
            self.publish(broker, "two", False)
            self.end(broker)

    def end(self, broker):
        broker.kill()
        broker.exit_expected = None  # it may not have started
        broker.stop()

    def publish(self, broker, name, gives_up):
        client = Client(broker.public, timeout=10 * SLOW)
        number, good, until = 0, 0, time.monotonic() + 20 * SLOW
        while good < 4 or (number < 120 and not self.faults.hits):
            topics = ["d/0", "d/1", "trim/0", "trim/0"]
            numbers = range(number + 1, number + 1 + len(topics))
            number += len(topics)
            publisher = f"{self.cuts}{name}"
            client.send_many([{"op": "pub", "id": n, "topic": topic, "data": self.ledger.send(
                topic, publisher, n, self.dice.choice((0, 100, 60000)))} for n, topic in zip(numbers, topics)])
            answers = [client.answer(n) for n in numbers]
            for n, topic, answer in zip(numbers, topics, answers):
                if answer["op"] == "ok":
                    self.ledger.acknowledged(topic, f"{publisher}.{n}", answer)
            refused = any(answer["op"] == "err" for answer in answers)
            good = 0 if refused else good + 1
            if refused and gives_up:
                break
            if refused:
                ok(time.monotonic() < until, "publishes are still refused", answers)
                time.sleep(0.1)
        client.abort()


def scaled(cuts):
    return max(5, int(cuts / SLOW))


@case(timeout=240)
def what_was_acknowledged_outlives_power_cuts(t):
    Cuts(t, "power cuts").run(scaled(40), [pick_short, pick_short, pick_short])


@case(timeout=240)
def what_was_acknowledged_outlives_power_cuts_during_checkpoints(t):
    Cuts(t, "power cuts, large").run(scaled(25), [pick_long, pick_long, pick_short])


@case(timeout=240)
def what_was_acknowledged_outlives_a_failed_flush_and_a_power_cut(t):
    """In lanes: most of the time the broker mends itself."""
    lanes = [CutsAfterLoss(t, f"failed flush and power cut, lane {n}") for n in range(4)]
    errors = []

    def work(lane):
        try:
            lane.run(scaled(12), [])
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    ok(sum(lane.hits for lane in lanes) > len(lanes), "too few flushes failed")


@case(timeout=7200, long=True, checked=False)
def soak_a_thousand_power_cuts(t):
    Cuts(t, "soak cuts").run(600, [pick_short, pick_short, pick_short])
    Cuts(t, "soak cuts, large").run(400, [pick_long, pick_long, pick_short])


WRITER = """
import os, sys
folder = sys.argv[1]
one = os.open(folder + "/one", os.O_RDWR | os.O_CREAT)
os.pwrite(one, b"a" * 5000, 0)
os.fsync(one)
here = os.open(folder, os.O_RDONLY)
os.fsync(here)
two = os.open(folder + "/two", os.O_RDWR | os.O_CREAT)
os.pwrite(two, b"b" * 5000, 0)
os.fsync(two)
os.pwrite(one, b"c" * 5000, 5000)
os.kill(os.getpid(), 9)
"""


@case
def a_simulated_power_cut_takes_what_was_not_flushed_and_nothing_else(t):
    """So that the tests above could fail: what no fsync covered is there now, gone then, torn at another time."""
    dice, seen = random.Random(SEED), {"one": set(), "two": set()}
    for _ in range(60):
        place = t.folder()
        data = place / "data"
        data.mkdir()
        faults, disk = Faults(place, data, trace=True), PowerCut(data)
        subprocess.run([sys.executable, "-c", WRITER, str(data)], env={**os.environ, **faults.env(), "LD_PRELOAD": faults.library})
        disk.follow(faults.take_traces())
        disk.leave(dice)
        faults.close()
        one = (data / "one").read_bytes()
        eq(one[:5000], b"a" * 5000, "what was flushed")
        ok(set(one[5000:]) <= set(b"c\0"), "a byte that nobody wrote", one)
        seen["one"].add("torn" if 0 < one.count(b"c") < 5000 else one.count(b"c"))
        seen["two"].add((data / "two").read_bytes() == b"b" * 5000 if (data / "two").exists() else "gone")
    eq(seen, {"one": {0, 5000, "torn"}, "two": {True, "gone"}}, f"what was left of unflushed data and names, seed {SEED}")
