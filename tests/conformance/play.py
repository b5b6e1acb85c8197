"""Plays one row of a conformance table against the echo subprotocol.

A row sends chunks of bytes and names what must come back: ("text", bytes), ("binary", bytes), ("pong", bytes) in that
order; ("both", entry, entry) where the order is the server's affair. As the last entry ("close", code, …): the server
fails the connection with one of those codes; ("failed", code, …): the same, or it drops the connection without a CLOSE,
which RFC 6455 section 7.1.7 leaves to it. Without either the connection must still be good: a polite close is echoed.
ANSWERED between chunks waits for what was due so far, where a server may forget its answer once the connection failed.
"""
from support import wire
from support.check import eq, fail, one_of
from support.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Gone, Late

ECHO = {"protocols": ("sluice.echo",), "answer_pings": False}
KINDS = {"text": TEXT, "binary": BINARY}
MIB = 1 << 20
ANSWERED = None


def text(payload, **how):
    return wire.frame(TEXT, payload, **how)


def binary(payload, **how):
    return wire.frame(BINARY, payload, **how)


def more(payload, **how):
    """A continuation frame."""
    return wire.frame(CONT, payload, **how)


def ping(payload=b"", **how):
    return wire.frame(PING, payload, **how)


def pong(payload=b"", **how):
    return wire.frame(PONG, payload, **how)


def close(code=1000, reason=b"", **how):
    return wire.frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason, **how)


def fragments(opcode, parts):
    """One message in as many frames as there are parts."""
    last = len(parts) - 1
    return [wire.frame(opcode if at == 0 else CONT, part, fin=at == last) for at, part in enumerate(parts)]


def chop(payload, size=1):
    return [payload[at:at + size] for at in range(0, len(payload), size)] or [b""]


class Incoming:
    """Data messages and pongs in the order in which they came, fragments put together."""

    def __init__(self, ws):
        self.ws, self.kind, self.parts = ws, None, []

    def next(self):
        while True:
            got = self.ws.recv_frame()
            if got.opcode == PONG:
                return "pong", got.payload
            if got.opcode == CLOSE:
                return "close", self.ws.close_code()[0]
            if got.opcode == PING:
                continue
            if (got.opcode == CONT) != (self.kind is not None):
                fail("the server broke the order of fragments", str(got))
            self.kind = got.opcode if self.kind is None else self.kind
            self.parts.append(got.payload)
            if got.fin:
                kind, payload = self.kind, b"".join(self.parts)
                self.kind, self.parts = None, []
                return ("text" if kind == TEXT else "binary"), payload


def expect(incoming, want):
    if want[0] == "both":
        eq({incoming.next(), incoming.next()}, set(want[1:]), "what came, in any order")
        return
    try:
        got = incoming.next()
    except (Gone, Late) as error:
        if want[0] == "failed" and isinstance(error, Gone):
            return
        fail(f"{want[0]} did not come: {error}")
    if want[0] in ("close", "failed"):
        eq(got[0], "close", f"kind of what came ({got[1]!r:.80})")
        one_of(got[1], want[1:], "close code")
    else:
        eq(got[0], want[0], f"kind of what came ({got[1]!r:.80})")
        eq(got[1], want[1], f"payload of the {want[0]}")


def play(t, broker, chunks, wanted, segment=None):
    ws = t.ws(broker, **ECHO)
    incoming, due = Incoming(ws), list(wanted)
    ends = bool(due) and due[-1][0] in ("close", "failed")
    try:
        for chunk in chunks:
            if chunk is ANSWERED:
                expect(incoming, due.pop(0))
            else:
                ws.send_raw(chunk, segment)
    except Gone:
        if not ends:
            raise
    for want in due:
        expect(incoming, want)
    if not ends:
        eq(ws.finish(), (1000, ""), "answer to a polite close")
    elif ws.close_seen:
        try:
            ws.send_frame(CLOSE, ws.close_seen.payload[:2])
        except Gone:
            pass
        try:
            ws.wait_end()
        except Late:
            fail("the TCP connection is still open after both sides sent CLOSE")
