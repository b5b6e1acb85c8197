"""Acknowledged publishes from several connections, several of each in flight, until the broker is gone or it is enough.

One thread serves them all; what it sends goes into the ledger before, what is answered after. Whatever had reached
this machine's side of a connection before the broker was killed counts as answered.
"""
import json
import selectors
import time

from . import wire
from .broker import SLOW
from .check import fail
from .sluice_client import Client
from .wire import CLOSE, PING, PONG, TEXT, Gone


class Connection:
    """A client whose frames are taken as they come."""

    def __init__(self, load, name):
        self.load, self.name = load, name
        self.client = Client(load.broker.public, timeout=10 * SLOW)
        self.sock, self.decoder = self.client.ws.sock, self.client.ws.decoder
        self.gone = False

    def send(self, frames):
        if not frames or self.gone:
            return
        data = b"".join(wire.frame(TEXT, json.dumps(f, separators=(",", ":")).encode()) for f in frames)
        try:
            self.sock.sendall(data)
        except (ConnectionError, BrokenPipeError):
            pass  # what came before is still to be read

    def readable(self):
        """Takes what is there; the frames of one read."""
        self.sock.setblocking(False)
        try:
            self.decoder.feed(wire.recv_some(self.sock, 1 << 18))
        except BlockingIOError:
            return
        except Gone:
            self.gone = True
        finally:
            self.sock.settimeout(10 * SLOW)
        while (got := self.decoder.next()) is not None:
            if got.opcode == TEXT:
                self.frame(json.loads(got.payload))
            elif got.opcode == PING:
                self.client.ws.send_frame(PONG, got.payload)
            elif got.opcode == CLOSE:
                self.gone = True
        self.send(self.more())

    def frame(self, got):
        raise NotImplementedError

    def more(self):
        return []


class Publisher(Connection):
    """Keeps `window` publishes in flight. pick(dice) says topic, size and further fields of the next one."""

    def __init__(self, load, name, dice, window, pick):
        super().__init__(load, name)
        self.dice, self.window, self.pick = dice, window, pick
        self.number = 0
        self.in_flight = {}
        self.refused = 0

    def more(self):
        frames = []
        while len(self.in_flight) < self.window and not self.load.ending:
            topic, size, extra = self.pick(self.dice)
            self.number += 1
            data = self.load.ledger.send(topic, self.name, self.number, size)
            frames.append({"op": "pub", "id": self.number, "topic": topic, "data": data, **extra})
            self.in_flight[self.number] = frames[-1]
        return frames

    def frame(self, got):
        sent = self.in_flight.pop(got.get("id"), None)
        if got["op"] == "ok" and sent:
            self.acknowledged(sent, got)
        elif got["op"] == "err":
            self.load.refused(self, sent, got)
        elif got["op"] != "ping":
            fail(f"a publisher got {got}")

    def acknowledged(self, sent, got):
        self.load.ledger.acknowledged(sent["topic"], f"{self.name}.{sent['id']}", got)


class Reader(Connection):
    """What it is sent live must be in the logs afterwards."""

    def __init__(self, load, name, topic):
        super().__init__(load, name)
        self.client.sub(topic)

    def frame(self, got):
        if got["op"] == "msg" and "offset" in got:
            self.load.ledger.saw(got["topic"], got)
        elif got["op"] == "err":
            fail(f"a reader got {got}")


class Load:
    def __init__(self, broker, ledger):
        self.broker, self.ledger = broker, ledger
        self.connections = []
        self.ending = False

    def refused(self, publisher, sent, got):
        fail(f"{self.ledger.name}: {sent and sent['topic']}: not acknowledged but refused", got)

    def add(self, connection):
        self.connections.append(connection)

    def run(self, seconds=None):
        """Until every connection is gone, or for so long: then until what is in flight is answered."""
        selector = selectors.DefaultSelector()
        for c in self.connections:
            selector.register(c.sock, selectors.EVENT_READ, c)
            c.send(c.more())
        end = time.monotonic() + (seconds if seconds is not None else 60 * SLOW)
        while not all(c.gone for c in self.connections):
            left = end - time.monotonic()
            if left <= 0 and self.ending:
                fail(f"{self.ledger.name}: no answer in time", *[list(getattr(c, 'in_flight', {}).values())[:3] for c in self.connections])
            if left <= 0:
                self.ending, end = True, time.monotonic() + 15 * SLOW
            for key, _ in selector.select(max(0, min(left, 0.5))):
                key.data.readable()
                if key.data.gone:
                    selector.unregister(key.fileobj)
            if self.ending and not any(getattr(c, "in_flight", None) for c in self.connections):
                break
        for c in self.connections:
            c.client.abort()
        selector.close()
