"""RFC 6455 section 8.1 and RFC 3629: text must be UTF-8; checked whole, over fragments, and over TCP segments."""
from play import chop, fragments, more, ping, play, text
from support.runner import table
from support.wire import BINARY, TEXT

VALID = [
    ("ASCII", b"Hello"),
    ("Greek", "κόσμε".encode()),
    ("umlauts and more", "Hello-µ@ßöäüàá-UTF-8!!".encode()),
    ("first of two bytes U+0080", b"\xc2\x80"),
    ("last of two bytes U+07FF", b"\xdf\xbf"),
    ("first of three bytes U+0800", b"\xe0\xa0\x80"),
    ("last before the surrogates U+D7FF", b"\xed\x9f\xbf"),
    ("first after the surrogates U+E000", b"\xee\x80\x80"),
    ("replacement character U+FFFD", b"\xef\xbf\xbd"),
    ("noncharacter U+FFFE", b"\xef\xbf\xbe"),
    ("noncharacter U+FFFF", b"\xef\xbf\xbf"),
    ("first of four bytes U+10000", b"\xf0\x90\x80\x80"),
    ("noncharacter U+1FFFE", b"\xf0\x9f\xbf\xbe"),
    ("last of all U+10FFFF", b"\xf4\x8f\xbf\xbf"),
    ("NUL", b"a\x00b"),
    ("DEL", b"\x7f"),
    ("byte order mark", b"\xef\xbb\xbfx"),
    ("emoji", "🙂🇪🇺👩‍🔬".encode()),
]
INVALID = [
    ("continuation byte alone", b"\x80"),
    ("last continuation byte alone", b"\xbf"),
    ("two continuation bytes", b"\x80\xbf"),
    ("start of two, cut by ASCII", b"\xc3 x"),
    ("start of three, cut by ASCII", b"\xe2\x82 x"),
    ("start of four, cut by ASCII", b"\xf0\x9f\x99 x"),
    ("ends within two bytes", b"abc\xc3"),
    ("ends after one of three bytes", b"abc\xe2"),
    ("ends after two of three bytes", b"abc\xe2\x82"),
    ("ends after one of four bytes", b"abc\xf0"),
    ("ends after two of four bytes", b"abc\xf0\x9f"),
    ("ends after three of four bytes", b"abc\xf0\x9f\x99"),
    ("overlong slash of two bytes", b"\xc0\xaf"),
    ("overlong slash of three bytes", b"\xe0\x80\xaf"),
    ("overlong slash of four bytes", b"\xf0\x80\x80\xaf"),
    ("overlong NUL", b"\xc0\x80"),
    ("highest overlong of two bytes", b"\xc1\xbf"),
    ("highest overlong of three bytes", b"\xe0\x9f\xbf"),
    ("highest overlong of four bytes", b"\xf0\x8f\xbf\xbf"),
    ("first surrogate U+D800", b"\xed\xa0\x80"),
    ("last surrogate U+DFFF", b"\xed\xbf\xbf"),
    ("surrogate pair", b"\xed\xa0\x80\xed\xb0\x80"),
    ("beyond the last U+110000", b"\xf4\x90\x80\x80"),
    ("start byte F5", b"\xf5\x80\x80\x80"),
    ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
    ("byte FE", b"\xfe"),
    ("byte FF", b"\xff"),
    ("good text, then a surrogate, then good text", "κόσμε".encode() + b"\xed\xa0\x80edited"),
]


def rows(cases, wanted):
    for name, payload in cases:
        yield f"{name}, whole", [text(payload)], wanted(payload), None
        yield f"{name}, a fragment for each byte", fragments(TEXT, chop(payload)), wanted(payload), None
        yield f"{name}, a TCP segment for each byte", [text(payload)], wanted(payload), 1


@table(rows(VALID, lambda payload: [("text", payload)]))
def valid(t, broker, chunks, wanted, segment):
    play(t, broker, chunks, wanted, segment)


@table(rows(INVALID, lambda payload: [("close", 1007)]))
def invalid(t, broker, chunks, wanted, segment):
    play(t, broker, chunks, wanted, segment)


SMILE = "🙂".encode()
LONG = ("žluťoučký kůň " * 9000).encode()
ACROSS = [
    ("ping within a character split over fragments", [text(SMILE[:2], fin=False), ping(b"p"), more(SMILE[2:])],
     [("both", ("pong", b"p"), ("text", SMILE))]),
    ("empty fragment within a character", fragments(TEXT, [SMILE[:1], b"", SMILE[1:]]), [("text", SMILE)]),
    ("long text, characters across reads", [text(LONG)], [("text", LONG)]),
    ("long text in fragments of 1,021 bytes", fragments(TEXT, chop(LONG, 1021)), [("text", LONG)]),
    ("long text, wrong in the last byte", [text(LONG + b"\xc3")], [("close", 1007)]),
    ("broken character at the start of a second fragment", fragments(TEXT, [b"abc", b"\xa9"]), [("close", 1007)]),
    ("state does not leak into the next message", [text(SMILE), text(b"x"), text(SMILE)],
     [("text", SMILE), ("text", b"x"), ("text", SMILE)]),
    ("binary is not checked", fragments(BINARY, [b"\xff", b"\xc0\xaf"]), [("binary", b"\xff\xc0\xaf")]),
]


@table(ACROSS)
def across_frames(t, broker, chunks, wanted):
    play(t, broker, chunks, wanted)
