"""The broker is killed at random moments, again and again on one folder, while several connections publish: what it had
answered is there after each restart, once, in order, at the place that the answer named; and nothing else but what was
sent. The seed is printed, SLUICE_TEST_SEED repeats it. Storage that keeps its promise is proven here against the end
of the process; against the machine's end, by power cuts with a preloaded library."""
import os
import random
import threading
import time

from support.broker import SLOW
from support.check import eq, has, is_error, ok, one_of
from support.ledger import Ledger, read_history, read_subscription, same_messages
from support.load import Load, Publisher, Reader
from support.runner import case
from support.sluice_client import Client

SEED = int(os.environ.get("SLUICE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
TRIMMED_TO = 20
CONFIG = {"topics": [{"filter": "d/#", "log": "disk"}, {"filter": "trim/#", "log": "disk", "max-count": TRIMMED_TO},
                     {"filter": "memory/#", "log": "memory"}, {"filter": "none/#", "log": "none"}]}
KILLS_A_FOLDER = 12


def scaled(kills):
    """Fewer against a checked build, where each takes longer."""
    return max(4, int(kills / SLOW))


class Repeater(Publisher):
    """Each message has a dedup key; what was not answered is sent again after the restart."""

    def __init__(self, *args):
        super().__init__(*args)
        self.answered = []

    def acknowledged(self, sent, got):
        super().acknowledged(sent, got)
        self.answered.append((sent, got))

    def again(self, client, sent):
        return has(client.call("pub", **{n: v for n, v in sent.items() if n not in ("op", "id")}), "answer to a repeat", op="ok")

    def repeat(self, client, dice):
        for sent, first in dice.sample(self.answered, min(5, len(self.answered))):
            again = self.again(client, sent)
            for name in ("offset", "epoch"):
                eq(again.get(name), first.get(name), f"{name} of the answer to a repeated dedup key, seed {SEED}")
            # how many it reached is known after the flush only, and comes to the disk with a later one
            one_of(again.get("matched"), (first.get("matched"), 0), f"matched of a repeated dedup key, seed {SEED}")
        for sent in self.in_flight.values():
            self.load.ledger.acknowledged(sent["topic"], f"{self.name}.{sent['id']}", self.again(client, sent))


class Chain(Publisher):
    """Each message expects the one before it to be the newest."""

    def __init__(self, load, name, dice, topic, at):
        super().__init__(load, name, dice, 1, lambda dice: (topic, 0, {"expect": self.at}))
        self.at = at or {"offset": 0}

    def acknowledged(self, sent, got):
        super().acknowledged(sent, got)
        eq(got["offset"], self.at["offset"] + 1, "offset after the expected one")
        self.at = {"offset": got["offset"], "epoch": got["epoch"]}


def short_or_long(topics, long_chance):
    def pick(dice):
        size = dice.randrange(2000, 60000) if dice.random() < long_chance else dice.choice((0, 0, 30, 300))
        return dice.choice(topics), size, {}
    return pick


def kept_values(dice):
    return f"d/kept{dice.randrange(3)}", dice.choice((0, 0, 3000)), {"retain": True}


def with_keys(name):
    numbers = iter(range(1 << 30))
    return lambda dice: ("d/dedup", 0, {"dedup": f"{name}-{next(numbers)}"})


MIXED = short_or_long([f"d/{n}" for n in range(4)], 0.02)
LARGE = short_or_long([f"d/{n}" for n in range(3)], 0.7)
TRIMMING = short_or_long([f"trim/{n}" for n in range(3)], 0.05)


class Rounds:
    """Kills on one folder after the other."""

    def __init__(self, t, name):
        print(f"{name}: seed {SEED}")
        self.t, self.name, self.dice = t, name, random.Random(f"{SEED} {name}")
        self.kills = self.acked = self.stored = 0
        self.repeaters, self.folder, self.folder_until, self.chain_at = [], None, 0, None

    def begin_folder(self):
        self.end_folder()
        self.folder = self.t.folder()
        self.ledger = Ledger(f"{self.name}, seed {SEED}")
        self.chain_at = None

    def end_folder(self):
        """An orderly end keeps everything too."""
        if not self.folder:
            return
        broker = self.start()
        self.verify(broker)
        broker.stop()
        broker = self.start()
        items = self.verify(broker, thorough=True)
        self.ledger.check_all_are_there("d/dedup", items.get("d/dedup", []))
        broker.stop()
        self.acked += self.ledger.acked
        self.stored += sum(len(i) for i in items.values())

    def start(self, wait=True):
        return self.t.broker(config=CONFIG, data=self.folder, workers=self.dice.choice((1, 2)), wait=wait)

    def publishers(self, load, picks):
        for at, pick in enumerate(picks):
            load.add(Publisher(load, f"{self.kills}p{at}", self.dice, self.dice.choice((1, 4, 16, 64)), pick))
        name = f"{self.kills}keys"
        self.repeaters = [Repeater(load, name, self.dice, 8, with_keys(name))]
        load.add(self.repeaters[0])
        load.add(Chain(load, f"{self.kills}chain", self.dice, "d/chain", self.chain_at))
        load.add(Reader(load, "reader", "d/#"))

    def kill_under_load(self, broker, picks, longest):
        load = Load(broker, self.ledger)
        self.publishers(load, picks)
        killer = threading.Timer(self.dice.random() * longest * SLOW, broker.process.kill)
        killer.start()
        load.run()
        killer.join()
        broker.kill()
        broker.stop()
        self.kills += 1

    def kill_at_start(self, longest):
        broker = self.start(wait=False)
        time.sleep(self.dice.random() * longest * SLOW)
        broker.kill()
        broker.stop()
        self.kills += 1

    def verify(self, broker, thorough=False):
        client = Client(broker.public, timeout=20 * SLOW)
        items = {}
        for topic in sorted(self.ledger.sent):
            items[topic] = read_history(client, topic)
            self.ledger.check(topic, items[topic], TRIMMED_TO if topic.startswith("trim/") else 0)
        if thorough:
            heads = {topic: found[-1]["offset"] if found else 0 for topic, found in items.items()}
            found = read_subscription(client, heads)
            for topic in items:
                same_messages(found[topic], items[topic], f"{topic} by subscription and by history, seed {SEED}")
        self.check_retained(client, items)
        self.check_chain(client, items.get("d/chain"))
        for repeater in self.repeaters:
            repeater.repeat(client, self.dice)
        self.repeaters = []
        client.abort()
        return items

    def check_retained(self, client, items):
        for topic in [topic for topic in items if topic.startswith("d/kept") and items[topic]]:
            client.sub(topic, **{"from": "latest"})
            newest = {name: items[topic][-1][name] for name in ("offset", "epoch", "data")}
            has(client.next("msg"), f"the retained value of {topic}, seed {SEED}", retained=True, **newest)
            client.ok("unsub", topic=topic)

    def check_chain(self, client, items):
        if not items:
            return
        before = {name: items[-1][name] for name in ("offset", "epoch")}
        before["offset"] -= 1
        is_error(client.call("pub", topic="d/chain", data="late", expect=before), "expect_failed", 409)
        self.chain_at = {name: items[-1][name] for name in ("offset", "epoch")}

    def run(self, kills, picks, longest, at_start=0.0, start_longest=0.03):
        while self.kills < kills:
            if self.kills >= self.folder_until:
                self.begin_folder()
                self.folder_until = self.kills + KILLS_A_FOLDER
            while self.dice.random() < at_start:
                self.kill_at_start(start_longest)
            broker = self.start()
            self.verify(broker, thorough=self.dice.random() < 0.3)
            self.kill_under_load(broker, picks, longest)
        self.end_folder()
        print(f"{self.name}: {self.kills} kills, {self.acked} acknowledged, {self.stored} stored at the end of their folders")
        ok(self.acked > 5 * kills or at_start, f"only {self.acked} acknowledged in {self.kills} rounds")


@case(timeout=240)
def what_was_acknowledged_outlives_kills_under_load(t):
    Rounds(t, "load").run(scaled(84), [MIXED, MIXED, MIXED, kept_values], 0.15)


@case(timeout=240)
def what_was_acknowledged_outlives_kills_during_starts(t):
    Rounds(t, "starts").run(scaled(80), [MIXED, kept_values], 0.05, at_start=0.6)


@case(timeout=240)
def what_was_acknowledged_outlives_kills_during_trimming(t):
    Rounds(t, "trimming").run(scaled(36), [TRIMMING, TRIMMING, MIXED], 0.15)


@case(timeout=240)
def what_was_acknowledged_outlives_kills_during_checkpoints(t):
    Rounds(t, "checkpoints").run(scaled(36), [LARGE, LARGE, LARGE], 0.3)


@case(timeout=7200, long=True, checked=False)
def soak_two_thousand_kills(t):
    Rounds(t, "soak load").run(1000, [MIXED, MIXED, TRIMMING, kept_values], 0.15)
    Rounds(t, "soak starts").run(500, [MIXED, kept_values], 0.05, at_start=0.6)
    Rounds(t, "soak checkpoints").run(500, [LARGE, LARGE, TRIMMING], 0.3)
