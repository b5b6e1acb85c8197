"""The life of a native connection: hello, ids, ping, login, what is not a frame, bye."""
import json
import time

from support import wire
from support.broker import SLOW
from support.check import between, eq, fail, has, is_error, lacks, ok, one_of
from support.runner import case, table
from support.wire import BINARY, PING, PONG, TEXT, Gone, Late

KINDS = [("json", "json"), ("cbor", "cbor")]
STRICT = {"drain.settle": "0s"}  # a broker without --dev


@table(KINDS)
def hello_comes_first_and_once(t, broker, kind):
    client = t.client(broker, kind=kind)
    hello = has(client.hello, protocol=f"sluice.v1.{kind}", conn=lambda v: isinstance(v, str) and v,
                node=lambda v: isinstance(v, str) and v, ping_s=lambda v: isinstance(v, (int, float)) and v > 0)
    has(hello["limits"], "limits", payload=1 << 20)
    ok(all(isinstance(v, int) for v in hello["limits"].values()), "limits are numbers", hello)
    lacks(hello, "user", "id")
    for _ in range(3):
        client.ok("sub", topic="a/b", sub=5)
        client.ok("unsub", sub=5)
    client.barrier()
    eq([f["op"] for f in client.pending()], [], "frames beside the answers")


@table(KINDS)
def connect_is_answered_by_hello_with_its_id(t, broker, kind):
    client = t.client(broker, kind=kind, connect={"id": "me", "name": "dashboard"})
    has(client.hello, id="me")
    answer = client.call("connect", name="again")
    eq(answer["op"], "err", "a second connect")
    client.barrier()


@table(KINDS)
def connections_have_names_of_their_own(t, broker, kind):
    names = {t.client(broker, kind=kind).hello["conn"] for _ in range(20)}
    eq(len(names), 20, "different conn values")


@case
def silence_counts_as_a_first_frame_after_the_login_timeout(t):
    broker = t.broker(settings={"timeouts.login": "300ms"})
    client = t.client(broker, hello=False)
    started = time.monotonic()
    has(client.read(), op="hello")
    between(time.monotonic() - started, 0.15, 3 * SLOW, "seconds until hello")


IDS = [("integer", 7), ("zero", 0), ("negative", -3), ("largest", (1 << 53) - 1), ("text", "abc"), ("empty text", ""),
       ("64 bytes", "i" * 64), ("64 bytes in UTF-8", "ž" * 32), ("escapes", "a\"\\/\n\u0001"), ("emoji", "🙂")]


@table([(f"{name}, {kind}", kind, value) for name, value in IDS for kind in ("json", "cbor")])
def ids_are_repeated(t, broker, kind, value):
    client = t.client(broker, kind=kind)
    client.send("ping", id=value, t=1)
    has(client.read(), op="pong", id=value, t=1)
    client.send("unsub", id=value, sub=77)
    has(client.read(), op="err", id=value)
    client.send("pub", id=value, topic="ids", data=1)
    has(client.read(), op="ok", id=value)


BAD_IDS = [("65 bytes", '"' + "i" * 65 + '"'), ("true", "true"), ("list", "[1]"), ("map", "{}"), ("fraction", "1.5")]


@table(BAD_IDS)
def ids_of_another_kind_are_a_bad_frame(t, broker, written):
    client = t.client(broker)
    client.send_raw('{"op":"ping","id":%s}' % written)
    got = client.read()
    if got["op"] == "bye":
        eq(got["close"], 4400, "close")
    else:
        is_error(got, "bad_frame", 400)


@table(KINDS)
def without_an_id_only_errors_are_answered(t, broker, kind):
    client = t.client(broker, kind=kind)
    client.send("sub", topic="quiet/a", sub=1, credit=5)
    client.send("pub", topic="other", data=1)
    client.send("flow", sub=1, credit=5)
    client.send("unsub", sub=1)
    client.send("unsub", sub=1)
    is_error(client.read(), "unknown_sub", 404)
    client.send("ping", t=4)
    has(client.read(), op="pong", t=4)
    client.send("ping")
    lacks(has(client.read(), op="pong"), "id")


@table(KINDS)
def unknown_members_are_ignored(t, broker, kind):
    client = t.client(broker, kind=kind)
    client.ok("sub", topic="a", later={"deep": [1, 2]}, sub=3, x=None)
    client.ok("pub", topic="a", data=1, priority="high")
    has(client.next("msg"), data=1)


# Frames that are none --------------------------------------------------------------------------------------------

NOT_FRAMES = [
    ("empty message", ""), ("space", "  "), ("text", "hello"), ("number", "5"), ("null", "null"), ("list", "[1]"),
    ("string", '"ping"'), ("cut off", '{"op":"ping"'), ("two objects", '{"op":"ping"}{"op":"ping"}'),
    ("trailing comma", '{"op":"ping",}'), ("single quotes", "{'op':'ping'}"), ("comment", '{"op":"ping"/*x*/}'),
    ("NaN", '{"op":"pub","topic":"a","data":NaN}'), ("leading zero", '{"op":"pub","topic":"a","data":01}'),
    ("bad escape", '{"op":"pub","topic":"a","data":"\\x41"}'), ("control character", '{"op":"pub","topic":"a","data":"\x01"}'),
    ("lone surrogate in a topic", '{"op":"pub","topic":"\\ud800","data":1}'),
    ("deep nesting", '{"op":"pub","topic":"a","data":' + "[" * 5000 + "]" * 5000 + "}"),
    ("deep nesting, never closed", '{"op":"pub","topic":"a","data":' + "[" * 20000),
    ("op is a number", '{"op":5,"id":1}'), ("no op", '{"id":1,"topic":"a"}'),
    ("byte order mark", '\ufeff{"op":"ping"}'),
]


@table(NOT_FRAMES)
def what_is_no_frame_is_named_and_costs_only_its_own_connection(t, broker, text):
    other = t.client(broker)
    client = t.client(broker)
    client.send_raw(text)
    client.send("ping", id="after")
    got = client.read()
    if got["op"] == "err":
        one_of(got["code"], ("bad_frame", "bad_op", "bad_topic"), "code")
        eq(got["status"], 400, "status")
        got = client.read()
    if got["op"] == "bye":
        eq(got["close"], 4400, "close")
        eq(client.ws.wait_close()[0], 4400, "close code")
    else:
        has(got, op="pong", id="after")
    has(other.call("ping"), op="pong")


NOT_CBOR = [
    ("empty message", b""), ("cut map", b"\xa1\x00"), ("integer", b"\x05"), ("array", b"\x81\x01"), ("text", b"\x61a"),
    ("reserved length", b"\xbc\x00"), ("claims 2^32 pairs", b"\xba\xff\xff\xff\xff\x00"),
    ("claims 2^63 bytes of text", b"\xa1\x00\x7b\x7f\xff\xff\xff\xff\xff\xff\xff"),
    ("break alone", b"\xff"), ("two items", b"\xa1\x00\x64ping\x00"), ("deep nesting", b"\xa1\x03" + b"\x81" * 20000 + b"\x00"),
    ("deep tags", b"\xa1\x03" + b"\xc1" * 20000 + b"\x00"), ("op is bytes", b"\xa1\x00\x44ping"),
    ("op twice", b"\xa2\x00\x64ping\x00\x64ping"), ("text that is not UTF-8", b"\xa2\x00\x64ping\x01\x62\xff\xfe"),
    ("indefinite map without end", b"\xbf\x00\x64ping"),
]


@table(NOT_CBOR)
def what_is_no_cbor_frame_is_named_too(t, broker, data):
    client = t.client(broker, kind="cbor")
    client.send_raw(data)
    client.send("ping", id="after")
    got = client.read()
    if got["op"] == "err":
        one_of(got["code"], ("bad_frame", "bad_op"), "code")
        got = client.read()
    if got["op"] == "bye":
        eq(got["close"], 4400, "close")
    else:
        has(got, op="pong", id="after")


@table([("op", '{"op":"ping","op":"ping","id":1}'), ("id", '{"op":"ping","id":1,"id":1}'),
        ("topic", '{"op":"sub","topic":"a","id":1,"topic":"b"}'), ("unknown member", '{"op":"ping","id":1,"zz":1,"zz":2}'),
        ("written with escapes", '{"op":"ping","id":1,"\\u006fp":"ping"}'),
        ("data itself", '{"op":"pub","topic":"a","id":1,"data":1,"data":2}')])
def members_twice_are_a_bad_frame(t, broker, text):
    client = t.client(broker)
    client.send_raw(text)
    got = client.read()
    if got["op"] == "bye":
        eq(got["close"], 4400, "close")
    else:
        is_error(got, "bad_frame", 400)


@case
def members_twice_in_a_payload_are_nobodys_business(t):
    client = t.client(t.broker())
    client.sub("a")
    client.send_raw('{"op":"pub","id":1,"topic":"a","data":{"x":1,"x":2}}')
    raw = b""
    while b'"data":{"x":1,"x":2}' not in raw:
        _, raw = client.ws.recv_message()


@table([("text on CBOR", "cbor", TEXT, b'{"op":"ping"}'), ("binary on JSON", "json", BINARY, b'{"op":"ping"}')])
def the_wrong_kind_of_message_is_1003(t, broker, kind, opcode, payload):
    client = t.client(broker, kind=kind)
    client.ws.send_frame(opcode, payload)
    has(client.bye(), close=1003)


@table([("whole", [b'{"op":"ping","x":"\xff"}']), ("cut in a character", [b'{"op":"ping","x":"\xc3', b'\x28"}'])])
def broken_utf8_is_1007_with_a_bye(t, broker, parts):
    client = t.client(broker)
    for at, part in enumerate(parts):
        client.ws.send_frame(TEXT if at == 0 else 0, part, fin=at == len(parts) - 1)
    has(client.bye(), close=1007)


@case
def a_frame_over_the_limit_is_1009_with_a_bye(t):
    client = t.client(t.broker())
    client.ws.send_raw(wire.frame(TEXT, b"{", declared=(2 << 20) + 1, length_form=64))
    has(client.bye(), close=1009)


@case
def a_first_frame_over_the_login_limit_is_refused(t):
    broker = t.broker(settings={"limits.login-frame": "4KiB"})
    client = t.client(broker, hello=False)
    client.ws.send_raw(wire.frame(TEXT, b" " * 5000))
    try:
        code = client.bye()["close"]
    except AssertionError:
        code = client.ws.close_code()[0] if client.ws.close_seen else fail("neither bye nor CLOSE")
    one_of(code, (1009, 4400), "close code")


@table([(op, op) for op in ("hello", "msg", "ok", "err", "bye", "gap", "pong", "join", "", "SUB", "subscribe", "x" * 500)])
def ops_that_clients_may_not_send_are_bad_op(t, broker, op):
    client = t.client(broker)
    is_error(client.call(op), "bad_op", 400)
    has(client.call("ping"), op="pong")


MISSING = [
    ("sub without topic", {"op": "sub"}), ("pub without topic", {"op": "pub", "data": 1}),
    ("pub without data", {"op": "pub", "topic": "a"}), ("req without topic", {"op": "req", "data": 1}),
    ("history without topic", {"op": "history"}), ("presence without topic", {"op": "presence"}),
    ("unsub without anything", {"op": "unsub"}), ("auth without token", {"op": "auth"}),
    ("topic is a number", {"op": "sub", "topic": 5}), ("sub is text", {"op": "sub", "topic": "a", "sub": "1"}),
    ("sub is negative", {"op": "sub", "topic": "a", "sub": -1}), ("credit is text", {"op": "sub", "topic": "a", "credit": "many"}),
    ("from is unknown", {"op": "sub", "topic": "a", "from": "yesterday"}), ("from is empty", {"op": "sub", "topic": "a", "from": {}}),
    ("from is a number", {"op": "sub", "topic": "a", "from": 3}), ("from.last is text", {"op": "sub", "topic": "a", "from": {"last": "x"}}),
    ("from offset without epoch", {"op": "sub", "topic": "a", "from": {"offset": 1}}),
    ("overflow is unknown", {"op": "sub", "topic": "a", "overflow": "explode"}),
    ("conflate is a number", {"op": "sub", "topic": "a", "conflate": 4}), ("conflate by topic name", {"op": "sub", "topic": "a", "conflate": {"by": "x", "hz": 1}}),
    ("conflate hz is negative", {"op": "sub", "topic": "a", "conflate": {"hz": -1}}),
    ("conflate without hz", {"op": "sub", "topic": "a", "conflate": {}}), ("from.last is zero", {"op": "sub", "topic": "a", "from": {"last": 0}}),
    ("filter is a list", {"op": "sub", "topic": "a", "filter": [1]}), ("filter comparison unknown", {"op": "sub", "topic": "a", "filter": {"data.x": {"near": 1}}}),
    ("filter on something else", {"op": "sub", "topic": "a", "filter": {"weather": 1}}),
    ("headers are a list", {"op": "pub", "topic": "a", "data": 1, "headers": [1]}),
    ("a header is a number", {"op": "pub", "topic": "a", "data": 1, "headers": {"x": 1}}),
    ("ack level unknown", {"op": "pub", "topic": "a", "data": 1, "ack": "carved"}),
    ("data and data64", {"op": "pub", "topic": "a", "data": 1, "data64": "AA=="}),
    ("data64 is not base64", {"op": "pub", "topic": "a", "data64": "?*"}), ("data64 is a number", {"op": "pub", "topic": "a", "data64": 5}),
    ("ttl is negative", {"op": "pub", "topic": "a", "data": 1, "ttl_s": -1}),
    ("expect without offset", {"op": "pub", "topic": "a", "data": 1, "expect": {}}),
    ("retain is text", {"op": "pub", "topic": "a", "data": 1, "retain": "yes"}),
    ("key is a number", {"op": "pub", "topic": "a", "data": 1, "key": 5}),
    ("limit is text", {"op": "history", "topic": "a", "limit": "all"}),
    ("timeout is negative", {"op": "req", "topic": "a", "data": 1, "timeout_ms": -5}),
]


@table([(f"{name}, {kind}", kind, fields) for name, fields in MISSING for kind in ("json", "cbor")
        if not (kind == "cbor" and "data64" in fields)])
def members_that_are_missing_or_wrong_are_named(t, broker, kind, fields):
    client = t.client(broker, kind=kind)
    fields = dict(fields)
    answer = client.call(fields.pop("op"), **fields)
    one_of(answer.get("code"), ("bad_frame", "bad_filter") if "filter" in fields else ("bad_frame",), "code")
    is_error(answer, answer["code"], 400)
    ok(answer.get("hint") or len(answer["message"]) > 20, "the error must say what to do", answer)
    has(client.call("ping"), op="pong")


# Login ------------------------------------------------------------------------------------------------------------

@case
def without_dev_a_stranger_gets_a_reason_and_no_hello(t):
    broker = t.broker(dev=False, settings=STRICT)
    for first in ({"op": "sub", "topic": "a", "id": 1}, {"op": "connect", "id": 1}, {"op": "connect", "token": "x", "id": 1},
                  {"op": "ping", "id": 1}):
        client = t.client(broker, hello=False)
        client.send_raw(json.dumps(first))
        frames = client.until(lambda f: f["op"] == "bye")
        ok(all(f["op"] in ("err", "bye") for f in frames), "only err and bye", frames)
        has(frames[-1], close=4401, retry=False)
        eq(client.ws.wait_close()[0], 4401, "close code")


@case
def without_dev_silence_is_4408(t):
    broker = t.broker(dev=False, settings={**STRICT, "timeouts.login": "300ms"})
    client = t.client(broker, hello=False)
    has(client.bye(), close=4408)


@case
def without_dev_the_default_login_timeout_is_five_seconds(t):
    broker = t.broker(dev=False, settings=STRICT)
    client = t.client(broker, hello=False)
    started = time.monotonic()
    has(client.bye(timeout=15 * SLOW), close=4408)
    between(time.monotonic() - started, 4, 8 * SLOW, "seconds until 4408")


@case
def anonymous_rights_are_those_of_the_configuration(t):
    broker = t.broker(dev=False, settings={**STRICT, "anonymous.subscribe": "public/#", "anonymous.publish": "public/in/+"})
    client = t.client(broker)
    client.sub("public/#")
    client.sub("public/in/x")
    client.pub("public/in/x", 1)
    for op, topic in (("sub", "private"), ("sub", "#"), ("sub", "+/in"), ("sub", "publi"), ("pub", "public/x"),
                      ("pub", "private"), ("pub", "public/in/x/y"), ("history", "private"), ("presence", "private"),
                      ("req", "private")):
        extra = {"data": 1} if op in ("pub", "req") else {}
        is_error(client.call(op, topic=topic, **extra), "topic_forbidden", 403, f"{op} {topic}")
    has(client.call("ping"), op="pong")


# Signs of life ----------------------------------------------------------------------------------------------------

@case
def pings_go_out_in_silence_and_answers_keep_the_connection(t):
    broker = t.broker(settings={"timeouts.ping-interval": "300ms", "timeouts.ping-timeout": "500ms"})
    client = t.client(broker)
    pings, until = 0, time.monotonic() + 2.5
    while time.monotonic() < until:
        try:
            got = client.ws.recv_frame(0.5)
        except Late:
            continue
        if got.opcode == PING:
            pings += 1
            client.ws.send_frame(PONG, got.payload)
        ok(got.opcode != wire.CLOSE, "closed though every ping was answered", str(got))
    ok(pings >= 3, f"{pings} pings in 2.5 s of silence at 300 ms")
    has(client.call("ping"), op="pong")


@case
def no_sign_of_life_is_4508(t):
    broker = t.broker(settings={"timeouts.ping-interval": "300ms", "timeouts.ping-timeout": "500ms"})
    client = t.client(broker, answer_pings=False)
    started = time.monotonic()
    has(client.bye(timeout=10 * SLOW), close=4508)
    between(time.monotonic() - started, 0.5, 6 * SLOW, "seconds until 4508")


@case
def any_byte_is_a_sign_of_life(t):
    """A long message that arrives slowly keeps its connection, unanswered pings or not."""
    broker = t.broker(settings={"timeouts.ping-interval": "300ms", "timeouts.ping-timeout": "600ms"})
    client = t.client(broker, answer_pings=False)
    frame = wire.frame(TEXT, json.dumps({"op": "ping", "id": "slow", "pad": "x" * 200}).encode())
    for at in range(0, len(frame), 16):
        client.ws.send_raw(frame[at:at + 16])
        time.sleep(0.12)
    has(client.next("pong"), id="slow")


@case
def a_message_that_is_started_must_end(t):
    broker = t.broker(settings={"timeouts.message": "400ms"})
    client = t.client(broker)
    frame = wire.frame(TEXT, b" " * 300)
    started = time.monotonic()
    try:
        for at in range(len(frame)):
            client.ws.send_raw(frame[at:at + 1])
            time.sleep(0.05)
            if client.ws.sock.fileno() >= 0 and time.monotonic() - started > 8 * SLOW:
                fail("a message may take longer than timeouts.message")
            try:
                got = client.ws.recv_frame(0.001)
                if got.opcode in (wire.CLOSE, TEXT):
                    break
            except Late:
                pass
    except Gone:
        pass
    between(time.monotonic() - started, 0.2, 6 * SLOW, "seconds until the cut")


@case
def the_broker_says_ping_in_text_when_it_has_nothing_to_say(t):
    """hello's ping_s of silence from the broker brings a ping frame that a page can see."""
    broker = t.broker(settings={"timeouts.ping-interval": "1s", "timeouts.ping-timeout": "5s"})
    client = t.client(broker)
    wait = client.hello["ping_s"]
    ok(wait <= 30, f"ping_s is {wait}")
    deadline = time.monotonic() + (wait + 3) * SLOW
    while time.monotonic() < deadline:
        got = client.read((wait + 3) * SLOW)
        if got["op"] == "ping":
            has(got, t=lambda v: isinstance(v, int) and v > 1_600_000_000_000)
            return
    fail("no ping came")
