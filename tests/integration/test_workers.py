"""Two workers: delivery across threads, order on each topic, one home for each log; and a load for the thread checker."""
import random
import threading
import time

from support.broker import SLOW
from support.check import eq, ok
from support.runner import case
from support.sluice_client import Client
from support.wire import Gone, Late


@case
def every_reader_on_every_worker_gets_the_same_order(t):
    broker = t.broker(workers=2)
    readers = [t.client(broker) for _ in range(16)]
    for reader in readers:
        reader.sub("cross/#")
    writers = [t.client(broker) for _ in range(6)]
    for n in range(0, 200, 20):
        for w, writer in enumerate(writers):
            writer.send_many([{"op": "pub", "topic": f"cross/{k % 3}", "data": [w, k]} for k in range(n, n + 20)])
    orders = []
    for reader in readers:
        got = reader.msgs(1200, timeout=20 * SLOW)
        orders.append({topic: [(m["offset"], tuple(m["data"])) for m in got if m["topic"] == topic] for topic in ("cross/0", "cross/1", "cross/2")})
    for order in orders[1:]:
        eq(order == orders[0], True, "same order for every reader of a logged topic")
    for topic, rows in orders[0].items():
        eq([offset for offset, _ in rows], list(range(1, len(rows) + 1)), f"offsets of {topic}")


@case
def what_is_published_after_an_ok_follows_what_the_ok_answered(t):
    broker = t.broker(workers=2)
    reader = t.client(broker)
    reader.sub("after/#")
    writers = [t.client(broker) for _ in range(4)]
    for n in range(200):
        writers[n % 4].pub(f"after/{n % 5}", n)
    eq([m["data"] for m in reader.msgs(200)], list(range(200)), "across topics and publishers")


@case
def matched_is_right_as_soon_as_sub_is_answered(t):
    broker = t.broker(workers=2)
    writer = t.client(broker)
    for turn in range(40):
        readers = [t.client(broker) for _ in range(3)]
        for n, reader in enumerate(readers):
            reader.sub(f"interest/{turn}" if n else "interest/+")
            eq(writer.pub(f"interest/{turn}", n)["matched"], n + 1, f"matched in turn {turn}")
        for reader in readers:
            reader.finish()
        deadline = time.monotonic() + 5 * SLOW
        while writer.pub(f"interest/{turn}", 0)["matched"]:
            ok(time.monotonic() < deadline, "gone readers are still counted")


@case
def requests_cross_workers(t):
    broker = t.broker(workers=2)
    serves = [t.client(broker) for _ in range(6)]
    asks = [t.client(broker) for _ in range(6)]
    for n, serve in enumerate(serves):
        serve.sub(f"serve/{n}")
    for a, ask in enumerate(asks):
        for n in range(6):
            ask.send("req", id=f"{n}", topic=f"serve/{n}", data=a)
    for serve in serves:
        for m in serve.msgs(6):
            serve.send("pub", topic=m["reply"], data=m["data"] * 10)
    for a, ask in enumerate(asks):
        eq([ask.answer(f"{n}")["data"] for n in range(6)], [a * 10] * 6, "answers")


class Actor(threading.Thread):
    """Does random things with its own connections until told to stop."""

    def __init__(self, broker, seed, stopping):
        super().__init__(daemon=True)
        self.broker, self.random, self.stopping, self.error = broker, random.Random(seed), stopping, None

    def run(self):
        while not self.stopping.is_set() and self.error is None:
            try:
                client = Client(self.broker.public, kind=self.random.choice(["json", "cbor"]), timeout=20 * SLOW)
            except Exception as error:
                self.error = error
                return
            try:
                for _ in range(self.random.randrange(5, 60)):
                    self.act(client)
                    if self.stopping.is_set():
                        break
                client.barrier()
                if self.random.random() < 0.5:
                    client.finish()
            except (Gone, Late):
                pass
            except Exception as error:
                self.error = error
            finally:
                client.abort()

    def act(self, client):
        dice = self.random
        topic = f"load/{dice.randrange(6)}"
        wild = dice.choice([topic, "load/+", "load/#", "#"])
        what = dice.randrange(14)
        if what < 5:
            client.send_many([{"op": "pub", "topic": topic, "data": {"n": n, "s": "x" * dice.randrange(200)}, "key": f"k{n % 3}",
                               "headers": {"h": "v"}, **dice.choice([{}, {"retain": True}, {"dedup": str(dice.random())}, {"ttl_s": 5}])}
                              for n in range(dice.randrange(1, 30))])
        elif what < 8:
            options = dice.choice([{}, {}, {"credit": 50}, {"conflate": {"hz": 20}}, {"conflate": {"by": "key", "hz": 50}}, {"filter": {"data.n": {"gt": 5}}},
                                   {"overflow": "drop_oldest", "credit": 5}, {"presence": True}, {"echo": False}])
            client.call("sub", topic=wild, **{"from": dice.choice(["new", "first", "latest", {"last": 5}])}, **options)
        elif what == 8:
            client.call("sub", topic="load/#", group=f"g{dice.randrange(2)}", ack=True, ack_wait_ms=200)
        elif what == 9:
            client.call("history", topic=topic, limit=20)
        elif what == 10:
            client.call("presence", topic=topic)
        elif what == 11:
            client.call("req", topic=topic, data=1, timeout_ms=50)
        elif what == 12:
            client.call("unsub", topic=wild)
        else:
            client.barrier()
        for m in client.pending():
            if m["op"] == "msg" and "try" in m:
                client.send(dice.choice(["ack", "nack"]), sub=m["sub"], topic=m["topic"], offset=m["offset"], epoch=m["epoch"])
            elif m["op"] == "msg" and "reply" in m:
                client.send("pub", topic=m["reply"], data="answer")


def load(t, seconds, actors=8):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    broker = t.broker(workers=2)
    stopping = threading.Event()
    crowd = [Actor(broker, seed + n, stopping) for n in range(actors)]
    for actor in crowd:
        actor.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until and broker.running():
        time.sleep(0.5)
        broker.reload()
    stopping.set()
    for actor in crowd:
        actor.join(30 * SLOW)
        ok(not actor.is_alive(), "an actor hangs", f"seed {seed}")
        if actor.error:
            raise actor.error
    ok(broker.running(), "the broker died", f"seed {seed}")
    client = t.client(broker)
    client.sub("after/load")
    eq(client.pub("after/load", 1)["matched"], 1, "matched")


@case(timeout=60)
def load_of_random_clients(t):
    load(t, 8)


@case(timeout=900, long=True)
def soak_load_of_random_clients(t):
    load(t, 600, 12)
