"""RFC 6455 sections 5.2 to 5.6: lengths, fragments, control frames, reserved bits and opcodes."""
import os

from play import ANSWERED, ECHO, MIB, Incoming, binary, chop, close, fragments, more, ping, play, pong, text
from support.check import eq, ok
from support.runner import table
from support.wire import BINARY, PING, PONG, TEXT, frame

SIZES = (0, 1, 2, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537, MIB - 1, MIB, 2 * MIB)


def size_rows():
    for size in SIZES:
        letters = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        yield f"text of {size} bytes", [text(letters)], [("text", letters)]
        noise = os.urandom(size)
        yield f"binary of {size} bytes", [binary(noise)], [("binary", noise)]
    for size, cut in ((127, 1), (65535, 997), (65536, 997), (70000, 1460)):
        noise = os.urandom(size)
        yield f"binary of {size} bytes in TCP segments of {cut}", [binary(noise)], [("binary", noise)], cut
    for count in (2, 50):
        parts = [b"message %d" % n for n in range(count)]
        yield f"{count} messages in one TCP segment", [b"".join(map(text, parts))], [("text", p) for p in parts]
    zero = frame(BINARY, b"\x01\x02\x03\x04")
    yield "a masking key of zero", [zero[:2] + bytes(4) + b"\x01\x02\x03\x04"], [("binary", b"\x01\x02\x03\x04")]


@table(size_rows(), timeout=90)
def sizes(t, broker, chunks, wanted, segment=None):
    play(t, broker, chunks, wanted, segment)


HI = b"hello"
FRAGMENTS = [
    ("text in two", fragments(TEXT, [b"frag", b"ment"]), [("text", b"fragment")]),
    ("text in two, one write", [b"".join(fragments(TEXT, [b"frag", b"ment"]))], [("text", b"fragment")]),
    ("binary in three", fragments(BINARY, [b"\x00", b"\xff\xfe", b"\x01"]), [("binary", b"\x00\xff\xfe\x01")]),
    ("byte by byte", fragments(TEXT, chop(b"every byte alone")), [("text", b"every byte alone")]),
    ("all fragments empty", fragments(TEXT, [b"", b"", b""]), [("text", b"")]),
    ("empty first and last", fragments(TEXT, [b"", b"middle", b""]), [("text", b"middle")]),
    ("large fragments", fragments(BINARY, [b"a" * 70000, b"b" * 70000]), [("binary", b"a" * 70000 + b"b" * 70000)]),
    ("two fragmented messages in a row", fragments(TEXT, [b"a", b"b"]) + fragments(BINARY, [b"c", b"d"]),
     [("text", b"ab"), ("binary", b"cd")]),
    ("ping between two fragments", [text(b"fr", fin=False), ping(HI), more(b"ag")],
     [("both", ("pong", HI), ("text", b"frag"))]),
    ("ping between, one write", [text(b"fr", fin=False) + ping(HI) + more(b"ag")],
     [("both", ("pong", HI), ("text", b"frag"))]),
    ("unasked pong between two fragments", [text(b"fr", fin=False), pong(HI), more(b"ag")], [("text", b"frag")]),
    ("close between two fragments", [text(b"fr", fin=False), close(1000)], [("close", 1000)]),
    ("continuation first", [more(b"lost")], [("close", 1002)]),
    ("unfinished continuation first", [more(b"lost", fin=False)], [("close", 1002)]),
    ("continuation after a whole message", [text(HI), ANSWERED, more(b"lost")], [("text", HI), ("close", 1002)]),
    ("continuation after the last fragment", fragments(TEXT, [b"a", b"b"]) + [ANSWERED, more(b"lost")],
     [("text", b"ab"), ("close", 1002)]),
    ("new text within a fragmented text", [text(b"a", fin=False), text(b"b")], [("close", 1002)]),
    ("new binary within a fragmented text", [text(b"a", fin=False), binary(b"b")], [("close", 1002)]),
    ("new unfinished text within a fragmented text", [text(b"a", fin=False), text(b"b", fin=False)],
     [("close", 1002)]),
]


@table(FRAGMENTS)
def fragmentation(t, broker, chunks, wanted):
    play(t, broker, chunks, wanted)


LONGEST = bytes(range(125))
CONTROL = [
    ("ping without payload", [ping()], [("pong", b"")]),
    ("ping with text", [ping(HI)], [("pong", HI)]),
    ("ping with bytes that are not UTF-8", [ping(b"\x00\xff\xfe\xfd")], [("pong", b"\x00\xff\xfe\xfd")]),
    ("ping of 125 bytes", [ping(LONGEST)], [("pong", LONGEST)]),
    ("ping of 125 bytes, byte by byte", [ping(LONGEST)], [("pong", LONGEST)], 1),
    ("ping of 126 bytes", [ping(bytes(126))], [("failed", 1002)]),
    ("pong of 126 bytes", [pong(bytes(126))], [("failed", 1002)]),
    ("close of 126 bytes", [close(1000, b"r" * 124)], [("failed", 1002)]),
    ("fragmented ping", [ping(HI, fin=False)], [("close", 1002)]),
    ("fragmented pong", [pong(HI, fin=False)], [("close", 1002)]),
    ("fragmented close", [close(1000, fin=False)], [("close", 1002)]),
    ("unasked pong", [pong(HI), text(HI)], [("text", HI)]),
    ("unasked empty pong", [pong(), text(HI)], [("text", HI)]),
    ("unasked pong of 125 bytes", [pong(LONGEST), text(HI)], [("text", HI)]),
    ("ping after an unasked pong", [pong(b"x"), ping(b"y")], [("pong", b"y")]),
    ("ping before a message", [ping(b"1"), text(HI)], [("both", ("pong", b"1"), ("text", HI))]),
]


@table(CONTROL)
def control_frames(t, broker, chunks, wanted, segment=None):
    play(t, broker, chunks, wanted, segment)


def reserved_rows():
    for rsv in range(1, 8):
        yield f"text with reserved bits {rsv:03b}", [text(HI, rsv=rsv)], [("close", 1002)]
    yield "binary with reserved bit", [binary(HI, rsv=1)], [("close", 1002)]
    yield "ping with reserved bits", [ping(HI, rsv=5)], [("close", 1002)]
    yield "pong with reserved bits", [pong(HI, rsv=2)], [("close", 1002)]
    yield "close with reserved bits", [close(1000, rsv=7)], [("close", 1002)]
    yield "continuation with reserved bit", [text(b"a", fin=False), more(b"b", rsv=4)], [("close", 1002)]
    yield "reserved bit after a good message", [text(HI), ANSWERED, text(HI, rsv=1)], [("text", HI), ("close", 1002)]
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"opcode {opcode:#x} without payload", [frame(opcode)], [("close", 1002)]
        yield f"opcode {opcode:#x} with payload", [frame(opcode, HI)], [("close", 1002)]
    yield "reserved opcode between fragments", [text(b"a", fin=False), frame(5, b"x")], [("close", 1002)]


@table(reserved_rows())
def reserved(t, broker, chunks, wanted):
    play(t, broker, chunks, wanted)


OVER = 2 * MIB + 1
TOO_LARGE = [
    ("declared one byte over the limit, binary", [binary(b"x", declared=OVER, length_form=64)], 1009),
    ("declared one byte over the limit, text", [text(b"{", declared=OVER, length_form=64)], 1009),
    ("declared 4 GiB", [binary(b"x", declared=1 << 32, length_form=64)], 1009),
    ("declared 2^63 - 1", [binary(b"x", declared=(1 << 63) - 1, length_form=64)], 1009),
    ("highest length bit set", [binary(b"x", declared=1 << 63, length_form=64)], 1002),
    ("fragments that sum up to over the limit", [binary(bytes(MIB), fin=False), more(bytes(MIB), fin=False), more(b"x")],
     1009),
    ("second fragment declares too much", [binary(bytes(MIB), fin=False), more(b"x", declared=MIB + 1, length_form=64)],
     1009),
]


@table(TOO_LARGE)
def too_large(t, broker, chunks, code):
    """Refused from the declared length, with the first byte: the library shows no header before."""
    play(t, broker, chunks, [("failed", 1002, 1009) if code == 1002 else ("close", code)])


@table([("1,000 fragments of one byte", 1000), ("16 fragments of 64 KiB", 16)])
def many_fragments(t, broker, count):
    part = b"x" if count == 1000 else bytes(65536)
    play(t, broker, [b"".join(fragments(BINARY, [part] * count))], [("binary", part * count)])


@table([("ping", PING), ("pong", PONG)])
def control_frames_do_not_disturb_a_long_message(t, broker, opcode):
    """A control frame between each pair of 40 fragments; pings one at a time, since each is answered."""
    ws = t.ws(broker, **ECHO)
    incoming = Incoming(ws)
    parts = [b"%02d" % n for n in range(40)]
    for chunk, part in zip(fragments(TEXT, parts), parts):
        ws.send_raw(chunk)
        if part != parts[-1]:
            ws.send_frame(opcode, part)
            if opcode == PING:
                eq(incoming.next(), ("pong", part), "answer")
    eq(incoming.next(), ("text", b"".join(parts)), "message")
    ok(ws.finish()[0] == 1000, "close")
