"""The native protocol spoken from outside: JSON or CBOR frames over the raw WebSocket client.

Frames that nobody waits for stay in the inbox in the order in which they came, so a test can ask in any order and
still prove the order. barrier() replaces sleeping: what the broker had to send before the answer is then here.
"""
import itertools
import json
import time
from collections import deque

import cbor2

from . import wire
from .check import Failed, eq, fail, has, ok, short
from .websocket import WebSocket
from .wire import BINARY, TEXT, Gone, Late

CBOR_KEYS = {"op": 0, "id": 1, "topic": 2, "data": 3, "offset": 4, "ts": 5, "sub": 6, "headers": 7, "key": 8, "code": 9,
             "epoch": 10}
CBOR_NAMES = {number: name for name, number in CBOR_KEYS.items()}


def unique_object(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise Failed(f"the broker sent a member twice: {names}")
    return dict(pairs)


def to_cbor(fields):
    return cbor2.dumps({CBOR_KEYS.get(name, name): value for name, value in fields.items()})


def from_cbor(data):
    item = cbor2.loads(data)
    ok(isinstance(item, dict), "a CBOR frame is not a map", item)
    for key in item:
        ok(key in CBOR_NAMES or isinstance(key, str) and key not in CBOR_KEYS, "unknown CBOR key", key, item)
    named = {CBOR_NAMES.get(key, key): value for key, value in item.items()}
    for name in ("items", "members", "next"):  # maps of the protocol's own inside a frame; payloads stay as they are
        if isinstance(named.get(name), list):
            named[name] = [from_cbor(cbor2.dumps(entry)) for entry in named[name]]
        elif isinstance(named.get(name), dict):
            named[name] = from_cbor(cbor2.dumps(named[name]))
    return named


class Client:
    """One native connection. kind is "json" or "cbor"; hello is checked on the way in unless hello=False."""

    def __init__(self, address, kind="json", path="/ws", hello=True, protocols=None, connect=None, **options):
        self.kind = kind
        self.ws = WebSocket(address, path, protocols if protocols is not None else (f"sluice.v1.{kind}",), **options)
        self.inbox = deque()
        self.raw = deque()  # the payloads as they came, one for each frame of the inbox
        self.numbers = itertools.count(1)
        self.hello = None
        try:
            self._log_in(hello, connect)
        except Exception:
            self.abort()
            raise

    def _log_in(self, hello, connect):
        if connect is not None:
            self.send("connect", **connect)
        elif hello:
            self.send("ping", id="first")
        if hello:
            self.hello = has(self.read(), "first frame", op="hello")
            if connect is None:
                has(self.next("pong"), id="first")

    # sending -----------------------------------------------------------------------------------------------------

    def encode(self, fields):
        return to_cbor(fields) if self.kind == "cbor" else json.dumps(fields, separators=(",", ":")).encode()

    def send(self, op, **fields):
        self.send_raw(self.encode({"op": op, **fields}))

    def send_raw(self, payload):
        payload = payload.encode() if isinstance(payload, str) else payload
        self.ws.send_frame(BINARY if self.kind == "cbor" else TEXT, payload)

    def send_many(self, frames):
        """Many frames in as few writes as possible."""
        opcode = BINARY if self.kind == "cbor" else TEXT
        self.ws.send_raw(b"".join(wire.frame(opcode, self.encode(f)) for f in frames))

    def call(self, op, timeout=None, **fields):
        """Sends with an id and returns the one answer that repeats it."""
        number = fields.pop("id", None) or next(self.numbers)
        self.send(op, id=number, **fields)
        return self.answer(number, timeout)

    def ok(self, op, **fields):
        return has(self.call(op, **fields), f"answer to {op}", op="ok")

    def sub(self, topic, **fields):
        return self.ok("sub", topic=topic, **fields)

    def pub(self, topic, data=None, **fields):
        if data is not None or not ({"data64", "retain"} & fields.keys()):
            fields["data"] = data
        return self.ok("pub", topic=topic, **fields)

    # receiving ---------------------------------------------------------------------------------------------------

    def read(self, timeout=None):
        """The next frame off the wire, past the inbox."""
        opcode, payload = self.ws.recv_message(timeout)
        if self.kind == "cbor":
            eq(opcode, BINARY, "opcode of a CBOR frame")
            got = from_cbor(payload)
        else:
            eq(opcode, TEXT, "opcode of a JSON frame")
            got = json.loads(payload.decode("utf-8"), object_pairs_hook=unique_object)
        ok(isinstance(got, dict) and isinstance(got.get("op"), str), "not a frame with an op", payload)
        self.raw_last = payload
        return got

    def _take(self, wanted, timeout, what):
        skipped = (lambda f: f.get("op") == "ping")
        for at, got in enumerate(self.inbox):
            if wanted(got):
                del self.inbox[at]
                self.raw_last = self.raw[at]
                del self.raw[at]
                return got
        deadline = time.monotonic() + (self.ws.timeout if timeout is None else timeout)
        while True:
            try:
                got = self.read(max(0.0, deadline - time.monotonic()))
            except Late:
                fail(f"{what} did not come", f"inbox: {short(list(self.inbox), 1200)}")
            except Gone as gone:
                fail(f"{what} did not come: {gone}", f"inbox: {short(list(self.inbox), 1200)}")
            if wanted(got):
                return got
            if not skipped(got):
                self.inbox.append(got)
                self.raw.append(self.raw_last)

    def next(self, op=None, timeout=None, **members):
        """The oldest frame of that op (any, if None) that has those members."""
        def wanted(got):
            return (op is None or got["op"] == op) and all(got.get(n) == v for n, v in members.items())
        return self._take(wanted, timeout, f"{op or 'frame'} {members or ''}")

    def answer(self, number, timeout=None):
        def wanted(got):
            return got["op"] in ("ok", "err", "pong", "hello") and got.get("id") == number
        return self._take(wanted, timeout, f"answer to id {number!r}")

    def msgs(self, count, timeout=None, **members):
        return [self.next("msg", timeout, **members) for _ in range(count)]

    def barrier(self):
        """Everything the broker owed this connection before now is in the inbox afterwards."""
        self.call("ping", id=f"barrier-{next(self.numbers)}")

    def pending(self, op=None):
        """Takes what the inbox holds of that op."""
        found = [got for got in self.inbox if op is None or got["op"] == op]
        kept = [(g, r) for g, r in zip(self.inbox, self.raw) if op is not None and g["op"] != op]
        self.inbox = deque(g for g, _ in kept)
        self.raw = deque(r for _, r in kept)
        return found

    def until(self, stop, timeout=None):
        """Frames in order up to and with the first for which stop(frame) holds; pings left out."""
        frames = []
        deadline = time.monotonic() + (self.ws.timeout if timeout is None else timeout)
        while True:
            if self.inbox:
                got = self.inbox.popleft()
                self.raw_last = self.raw.popleft()
            else:
                try:
                    got = self.read(max(0.0, deadline - time.monotonic()))
                except (Late, Gone) as error:
                    fail(f"the awaited frame did not come: {error}", f"{len(frames)} frames, the last: {frames[-5:]}")
            if got["op"] == "ping":
                continue
            frames.append(got)
            if stop(got):
                return frames

    def quiet(self, seconds):
        """Nothing but pings comes for that long; returns what did come."""
        deadline, came = time.monotonic() + seconds, list(self.pending())
        while True:
            try:
                got = self.read(max(0.0, deadline - time.monotonic()))
                if got["op"] != "ping":
                    came.append(got)
            except Late:
                return came

    # ending ------------------------------------------------------------------------------------------------------

    def bye(self, timeout=None):
        """The broker ends the connection: the bye frame and the CLOSE that follows it, which must agree."""
        bye = self.next("bye", timeout)
        code, reason = self.ws.wait_close(timeout)
        eq(code, bye.get("close"), "close code against bye.close")
        for name in ("code", "message", "retry", "after_ms"):
            ok(name in bye, f"bye lacks {name}", bye)
        ok(len(reason.encode()) <= 123, "reason too long", reason)
        return bye

    def finish(self):
        code, _ = self.ws.finish()
        eq(code, 1000, "echoed close code")
        self.ws.abort()

    def abort(self):
        self.ws.abort()
