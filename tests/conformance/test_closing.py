"""RFC 6455 section 7: the closing handshake, its codes and reasons."""
from play import ECHO, Incoming, close, play, text
from support.check import eq, ok, one_of
from support.runner import table
from support.wire import CLOSE, Gone, frame

ALLOWED = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
FORBIDDEN = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)


@table([(f"code {code}", code) for code in ALLOWED])
def allowed_codes_are_echoed(t, broker, code):
    play(t, broker, [close(code)], [("close", code)])


@table([(f"code {code}", code) for code in FORBIDDEN])
def forbidden_codes_fail_the_connection(t, broker, code):
    play(t, broker, [close(code)], [("close", 1002)])


FORMS = [
    ("with a reason", [close(1000, b"done here")], [("close", 1000)]),
    ("with the longest reason", [close(1000, b"r" * 123)], [("close", 1000)]),
    ("with a reason in UTF-8", [close(1000, "schön".encode())], [("close", 1000)]),
    ("with a broken reason", [close(1000, b"\xce\xba\xed\xa0\x80")], [("close", 1007, 1002)]),
    ("with one byte of payload", [frame(CLOSE, b"\x03")], [("close", 1002)]),
    ("byte by byte", [close(1000, b"slow")], [("close", 1000)], 1),
]


@table(FORMS)
def forms(t, broker, chunks, wanted, segment=None):
    play(t, broker, chunks, wanted, segment)


@table([("empty close", b"")])
def empty_close(t, broker, payload):
    """A CLOSE without a code is answered by a CLOSE without a code, or by 1000; never by 1005 on the wire."""
    ws = t.ws(broker, **ECHO)
    ws.send_frame(CLOSE, payload)
    Incoming(ws).next()
    one_of(ws.close_code()[0], (None, 1000), "close code")
    ws.wait_end()


@table([("text", text(b"late")), ("ping", frame(9, b"late")), ("second close", close(1001)), ("rubbish", b"\xff" * 40)])
def what_follows_a_close_is_ignored(t, broker, late):
    ws = t.ws(broker, **ECHO)
    ws.send_raw(text(b"before") + close(1000) + late)
    incoming = Incoming(ws)
    eq(incoming.next(), ("text", b"before"), "echo")
    eq(incoming.next(), ("close", 1000), "answer to the close")
    eq(ws.wait_end(), [], "frames after the CLOSE")


@table([("at once", False), ("in the middle of a frame", True)])
def a_dropped_connection_costs_nothing(t, broker, middle):
    ws = t.ws(broker, **ECHO)
    ws.send_raw(text(b"x" * 1000)[:500] if middle else b"")
    ws.abort()
    other = t.ws(broker, **ECHO)
    other.send_raw(text(b"still there"))
    eq(Incoming(other).next(), ("text", b"still there"), "echo of another connection")


@table([("one at a time", 200)])
def the_server_ends_the_tcp_connection_first(t, broker, count):
    """After the closing handshake the server closes, so that TIME_WAIT does not pile up at clients."""
    for _ in range(count // 10):
        ws = t.ws(broker, **ECHO)
        ok(ws.finish()[0] == 1000, "close")
        ws.abort()


@table([("half a header, then silence", b"\x81"), ("half a message, then silence", text(b"x" * 100)[:40])])
def a_message_that_never_ends_does_not_stop_a_close(t, broker, start):
    ws = t.ws(broker, **ECHO)
    ws.send_raw(start)
    ws.sock.shutdown(1)
    try:
        ws.wait_end()
    except Gone:
        pass
