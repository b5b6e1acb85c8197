"""The disk fails at every place in turn: for every n, the n-th call of a kind goes wrong while the real sluiced starts,
publishes, trims and ends. It never crashes or hangs; every publish is answered, by ok or unavailable; nothing that was
acknowledged is missing afterwards; topics in memory go on; it says what is wrong and heals without help."""
import random
import signal
import threading
import time

from support import wire
from support.broker import FINDINGS, SLOW
from support.check import eq, has, ok
from support.disk import EIO, FULL, LOSE, SHORT, Faults
from support.ledger import Ledger, read_history
from support.runner import case
from support.sluice_client import Client

CONFIG = {"topics": [{"filter": "d/#", "log": "disk"}, {"filter": "trim/#", "log": "disk", "max-count": 10},
                     {"filter": "memory/#", "log": "memory"}]}
BURSTS = 10
LARGE = 300000  # so many that the log of changes is carried over into the file meanwhile
LANES = 6
HEALS_IN = 10
ANSWER_IN = 10
WRITING = ("write", "allocate", "open", "truncate", "mkdir")
NAMES = ("open", "truncate", "allocate", "unlink", "rename", "mkdir")
EVERYTHING = ("open", "read", "write", "sync", "truncate", "allocate", "unlink", "rename", "mkdir")


class Run:
    """One start of the broker under a fault, its publishes and its end."""

    def __init__(self, disk, n):
        self.disk, self.ledger, self.n, self.count = disk, disk.ledger, n, 0
        self.broker = disk.t.broker(config=CONFIG, data=disk.data, env=disk.faults.env(), wait=False)
        self.refused = 0

    def starts(self):
        """False: it said why not, and ended."""
        ok(self.broker.ready.wait(15 * SLOW), "it neither starts nor ends")
        if hasattr(self.broker, "public"):
            return True
        self.broker.exit_expected = None
        code = self.broker.wait_exit(15 * SLOW)
        ok(code is not None and code > 0, f"the start ended with {code}")
        text = self.broker.log_text()
        ok(not FINDINGS.search(text), "a finding in the log", text)
        last = text.strip().splitlines()[-1] if text.strip() else ""
        ok(len(last) > 30 and " " in last and str(self.disk.data) in text, "no plain sentence says why it does not start", text)
        return False

    def send(self, client, topics):
        """One burst; the answers in order, as (topic, token, answer)."""
        frames, wanted = [], []
        for topic in topics:
            self.count += 1
            size = 3000 if self.count % 7 == 0 else 0
            if self.disk.large and topic == "trim/b":
                size = LARGE
            data = self.ledger.send(topic, f"n{self.n}", self.count, size)
            frames.append({"op": "pub", "id": self.count, "topic": topic, "data": data, "retain": topic == "d/kept"})
            wanted.append((topic, f"n{self.n}.{self.count}", self.count))
        client.send_many(frames)
        return [(topic, token, client.answer(number, ANSWER_IN * SLOW)) for topic, token, number in wanted]

    def take(self, answers):
        """Whether all were ok."""
        good = True
        for topic, token, answer in answers:
            if answer["op"] == "ok":
                self.ledger.acknowledged(topic, token, answer)
                continue
            has(answer, f"answer to a publish to {topic}", op="err", code="unavailable", status=503)
            self.refused += 1
            good = False
        return good

    def heals(self, client, topics):
        """Unaided, once the fault is over."""
        until = time.monotonic() + HEALS_IN * SLOW
        while not self.take(self.send(client, topics)):
            ok(time.monotonic() < until, f"publishes are still refused {HEALS_IN * SLOW:.0f} s after the fault was over")
            time.sleep(0.1)
        while (reply := self.ready()).status != 200:
            ok(time.monotonic() < until, "publishes succeed, but /readyz does not", reply)
            time.sleep(0.02)

    def ready(self):
        return wire.http(self.broker.admin, target="/readyz", timeout=ANSWER_IN * SLOW)

    def says_why(self):
        until = time.monotonic() + HEALS_IN * SLOW
        while (reply := self.ready()).status == 200:
            ok(time.monotonic() < until, "publishes are refused, but /readyz says 200")
            time.sleep(0.02)
        eq(reply.status, 503, "status of /readyz")
        ok(len(reply.body) > 10 and b" " in reply.body, "/readyz does not name the cause", reply.body)

    def memory_works(self, client):
        has(client.call("pub", topic="memory/a", data=self.n, timeout=ANSWER_IN * SLOW), "memory topic meanwhile", op="ok")

    def publishes(self, stays, bursts):
        client, other = (Client(self.broker.public, timeout=ANSWER_IN * SLOW) for _ in range(2))
        for burst in range(bursts):
            topics = ["d/a", "trim/b", "d/kept" if burst % 3 == 0 else "trim/b"]
            good = self.take(self.send(client, topics))
            self.memory_works(other)
            if good:
                continue
            if stays:
                self.says_why()
                self.memory_works(other)
                self.disk.faults.clear()
            self.heals(client, topics)
        client.abort()
        other.abort()

    def ends(self):
        """By SIGTERM, in time; what it could not do at the end the next start does."""
        self.broker.exit_expected = None
        self.broker.signal(signal.SIGTERM)
        code = self.broker.wait_exit(15 * SLOW)
        ok(code is not None, "it does not end on SIGTERM")
        eq(code, 0, "exit code")
        self.broker.stop()


class Disk:
    """A folder that is worked on under one fault after the other."""

    def __init__(self, t, name, large=False):
        self.t, self.name, self.large = t, name, large
        self.tried = self.at_start = self.refused = 0
        self.begin()

    def begin(self):
        place = self.t.folder()
        (place / "disk").mkdir()
        self.data = place / "disk" / "data"
        self.faults = self.t.keep(Faults(place, place / "disk"))
        self.ledger = Ledger(self.name)

    def work(self, kinds, n, fault, stays, bursts):
        """One run under the fault, one without it that looks what is there. Whether the fault came to pass."""
        self.ledger.name = f"{self.name}, n = {n}"
        self.faults.arm(kinds, n, fault, stays)
        run = Run(self, n)
        if run.starts():
            run.publishes(stays, bursts)
            run.ends()
        else:
            run.broker.stop()
            self.at_start += 1
            self.fail_again(kinds, n, fault, stays)
        hits = self.faults.hits
        self.faults.clear()
        self.refused += run.refused
        self.look()
        return hits > 0

    def fail_again(self, kinds, n, fault, stays):
        """Whoever sees a start fail tries once more."""
        self.faults.arm(kinds, n, fault, stays)
        run = Run(self, n)
        if run.starts():
            run.ends()
        run.broker.stop()

    def look(self):
        broker = self.t.broker(config=CONFIG, data=self.data)
        client = Client(broker.public, timeout=ANSWER_IN * SLOW)
        for topic in sorted(self.ledger.sent):
            items = read_history(client, topic)
            self.ledger.check(topic, items, 10 if topic.startswith("trim/") else 0)
            if topic == "d/kept" and items:
                client.sub(topic, **{"from": "latest"})
                has(client.next("msg"), "retained", retained=True, offset=items[-1]["offset"], data=items[-1]["data"])
        client.abort()
        broker.kill()
        broker.stop()


class Lane(threading.Thread):
    """A part of the numbers, on folders of its own: healing is mostly waiting."""

    def __init__(self, t, name, number, ended, kinds, fault, stays, fresh, large):
        super().__init__(daemon=True)
        self.disk, self.fresh, self.ended = Disk(t, name, large), fresh, ended
        self.kinds, self.fault, self.stays = kinds, fault, stays
        # a checked build takes longer, and large messages are many calls: a sample
        self.longest_step = 100 if large and "write" in kinds else 4 * SLOW if SLOW > 1 else 1
        self.n, self.tried, self.number = number, 0, number
        self.dice = random.Random(f"{name} {number}")
        self.error = None

    def run(self):
        try:
            while not self.ended.is_set():
                if self.fresh:
                    self.disk.begin()
                if not self.disk.work(self.kinds, self.n, self.fault, self.stays, 1 if self.fresh else BURSTS):
                    return
                self.tried += 1
                self.n += LANES * self.dice.randint(1, int(self.longest_step))
        except Exception as error:
            where = f"{self.disk.name}: with the fault at call {self.n} of {'/'.join(self.kinds)}: "
            error.args = (where + str(error), *error.args[1:])
            self.error = error
            self.ended.set()


def every(t, name, kinds, fault, stays=False, fresh=False, large=False):
    """n = 1, 2, 3 … until a whole run has fewer such calls."""
    ended = threading.Event()
    lanes = [Lane(t, name, at + 1, ended, kinds, fault, stays, fresh, large) for at in range(LANES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    for lane in lanes:
        if lane.error:
            raise lane.error
    tried, last = sum(lane.tried for lane in lanes), max(lane.n for lane in lanes)
    print(f"{name}: {tried} n tried, up to {last}; {sum(lane.disk.at_start for lane in lanes)} ended the start, "
          f"{sum(lane.disk.refused for lane in lanes)} publishes refused")
    ok(tried > 1, "the fault never came to pass")


@case(timeout=240)
def writes_that_fail(t):
    every(t, "EIO from write", ["write"], EIO)


@case(timeout=240)
def writes_that_fail_until_the_disk_is_mended(t):
    every(t, "EIO from write on", ["write"], EIO, stays=True)


@case(timeout=240)
def writes_that_stop_half_way(t):
    every(t, "short write", ["write"], SHORT)


@case(timeout=240)
def flushes_that_fail(t):
    every(t, "EIO from sync", ["sync"], EIO)


@case(timeout=240)
def flushes_that_fail_and_lose_what_they_were_for(t):
    every(t, "sync that loses", ["sync"], LOSE)


@case(timeout=240)
def flushes_that_fail_until_the_disk_is_mended(t):
    every(t, "sync that loses on and on", ["sync"], LOSE, stays=True)


@case(timeout=240)
def a_disk_that_is_full_for_one_call(t):
    every(t, "ENOSPC once", WRITING, FULL)


@case(timeout=240)
def a_disk_that_is_full_until_there_is_room(t):
    every(t, "ENOSPC until room", WRITING, FULL, stays=True)


@case(timeout=240)
def writes_that_fail_while_the_log_is_carried_over(t):
    every(t, "EIO from write, large", ["write"], EIO, large=True)


@case(timeout=240)
def flushes_that_fail_while_the_log_is_carried_over(t):
    every(t, "sync that loses, large", ["sync"], LOSE, large=True)


@case(timeout=240)
def reads_that_fail(t):
    every(t, "EIO from read", ["read"], EIO)


@case(timeout=240)
def changes_of_names_and_sizes_that_fail(t):
    every(t, "EIO from open, truncate, unlink, rename", NAMES, EIO)


@case(timeout=240)
def a_first_start_on_a_disk_that_fails(t):
    every(t, "EIO in a new folder", EVERYTHING, EIO, fresh=True)


@case(timeout=240)
def a_first_start_on_a_disk_that_is_full(t):
    every(t, "ENOSPC in a new folder", WRITING, FULL, stays=True, fresh=True)
