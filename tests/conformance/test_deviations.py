"""Known deviations from RFC 6455 of the packaged libwebsockets 4.1.6: rows assert what it is known to do.

A row that fails because the server got stricter is good news: move it to the table where it then belongs.
"""
from play import ECHO, Incoming, binary, close, ping, play, text
from support.check import eq, ok
from support.runner import table
from support.wire import Gone, Late

HI = b"hello"
ACCEPTED = [
    ("5.1: unmasked frames are accepted", "the library has no view of the mask bit", [text(HI, mask=False)],
     [("text", HI)]),
    ("5.2: a 16-bit length for 5 bytes is accepted", "the library reads any form", [text(HI, length_form=16)],
     [("text", HI)]),
    ("5.2: a 64-bit length for 5 bytes is accepted", "the library reads any form", [binary(HI, length_form=64)],
     [("binary", HI)]),
    ("7.4: close code 1012 is answered by 1002", "the library rewrites it", [close(1012)], [("close", 1002)]),
    ("7.4: close code 1013 is answered by 1002", "the library rewrites it", [close(1013)], [("close", 1002)]),
    ("7.4: close code 1014 is answered by 1002", "the library rewrites it", [close(1014)], [("close", 1002)]),
]


@table(ACCEPTED)
def accepted(t, broker, reason, chunks, wanted):
    play(t, broker, chunks, wanted)


@table([("5.5.2: of ten queued pings at least the first is answered", 10)])
def queued_pings(t, broker, count):
    """The library keeps one pending ping; a pong for the rest is not owed (5.5.3 asks for the most recent one)."""
    ws = t.ws(broker, **ECHO)
    names = [b"ping %d" % n for n in range(count)]
    ws.send_raw(b"".join(ping(name) for name in names) + text(HI))
    incoming, pongs, echoed = Incoming(ws), [], False
    try:
        while not echoed or not pongs:
            kind, payload = incoming.next()
            echoed = echoed or kind == "text"
            if kind == "pong":
                pongs.append(payload)
    except (Gone, Late):
        pass
    ok(echoed, "the message after the pings was not echoed", pongs)
    eq(pongs[:1], names[:1], "first pong")
    eq(pongs, [name for name in names if name in pongs], "pongs in the order of the pings")
