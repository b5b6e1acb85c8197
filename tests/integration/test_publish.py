"""Publishing: payloads forwarded as sent, topics, acknowledgements, retained values, ttl, dedup, expect."""
import base64
import os
import threading
import time

from support.broker import SLOW
from support.check import between, eq, fail, has, is_error, lacks, ok
from support.runner import case, table

NO_LOG = {"topics": [{"filter": "nolog/#", "log": "none"}]}

# (name, as written by the publisher, as readers must see it)
TOKENS = [
    ("number of 20 digits", "12345678901234567890", None),
    ("number of 40 digits", "1234567890123456789012345678901234567890", None),
    ("trailing zero", "1.10", None), ("exponent", "1E+3", None), ("small exponent", "-0.0e-0", None), ("minus zero", "-0", None),
    ("many digits after the point", "0.1000000000000000055511151231257827", None),
    ("true", "true", None), ("null", "null", None), ("empty text", '""', None), ("empty object", "{}", None),
    ("empty list", "[]", None), ("escaped unicode", '"\\u00e9\\u0041"', None), ("escaped slash", '"a\\/b"', None),
    ("escaped pair", '"\\ud83d\\ude42"', None), ("raw emoji", '"🙂"', None), ("lone surrogate", '"\\ud800"', None),
    ("every short escape", '"\\"\\\\\\b\\f\\n\\r\\t"', None), ("NUL escape", '"\\u0000"', None),
    ("key order", '{"z":1,"a":2,"m":3}', None), ("escaped key", '{"\\u007a":1,"a\\"b":2}', None),
    ("members that look like ours", '{"op":"sub","topic":"x","id":5}', None), ("member twice", '{"a":1,"a":2}', None),
    ("whitespace goes", '{ "a" : [ 1 ,\t2 , "x  y" ] }', '{"a":[1,2,"x  y"]}'), ("whitespace around", " 5 ", "5"),
    ("line feed between", '[1,\n2]', "[1,2]"), ("whitespace in text stays", '" a\\n b "', None),
    ("nested 30 deep", "[" * 30 + "1" + "]" * 30, None),
]


def squeeze(token):
    """Without insignificant whitespace."""
    out, quoted, escaped = [], False, False
    for c in token:
        if not quoted and c in " \t\r\n":
            continue
        out.append(c)
        if quoted and not escaped and c == '"' or not quoted and c == '"':
            quoted = not quoted
        escaped = quoted and c == "\\" and not escaped
    return "".join(out)


@table([(name, written, seen or written) for name, written, seen in TOKENS])
def json_is_forwarded_token_for_token(t, broker, written, seen):
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("tokens/a")
    writer.send_raw('{"op":"pub","id":1,"topic":"tokens/a","data":%s}' % written)
    has(writer.answer(1), op="ok")
    while True:
        _, raw = reader.ws.recv_message()
        if b'"op":"msg"' in raw.replace(b" ", b""):
            break
    ok(f'"data":{seen}' in squeeze(raw.decode()), "payload was changed", f"sent {written}", f"got  {raw!r}")


CBOR_ITEMS = [
    ("small integer", "05"), ("integer in long form", "1b0000000000000005"), ("uint64 max", "1bffffffffffffffff"),
    ("negative", "3903e7"), ("half float", "f93c00"), ("double", "fb3ff199999999999a"), ("NaN with payload", "f97e01"),
    ("text", "6449455446"), ("indefinite text", "7f657374726561646d696e67ff"), ("indefinite array", "9f0102ff"),
    ("indefinite map", "bf61610161629f0203ffff"), ("bytes", "4401020304"), ("date tag", "c11a514b67b0"),
    ("bignum tag", "c249010000000000000000"), ("map with integer keys", "a201020304"), ("simple value", "f0"),
    ("undefined", "f7"), ("null", "f6"), ("nested", "8301820203820405"),
]


@table([(name, bytes.fromhex(item)) for name, item in CBOR_ITEMS])
def cbor_items_are_forwarded_byte_for_byte(t, broker, item):
    reader, writer = t.client(broker, kind="cbor"), t.client(broker, kind="cbor")
    reader.sub("items/a")
    writer.send_raw(b"\xa4\x00\x63pub\x01\x01\x02\x67items/a\x03" + item)
    has(writer.answer(1), op="ok")
    while True:
        _, raw = reader.ws.recv_message()
        if b"\x63msg" in raw:
            break
    ok(b"\x03" + item in raw, "item was changed", f"sent {item.hex()}", f"got  {raw.hex()}")


# JSON token, what a CBOR reader gets (RFC 8949, 6.2); CBOR value, what a JSON reader gets (6.1)
TO_CBOR = [("5", 5), ("-7", -7), ("1.5", 1.5), ('"žlutý"', "žlutý"), ("true", True), ("null", None), ("[1,[2]]", [1, [2]]),
           ('{"b":1,"a":{"c":"d"}}', {"b": 1, "a": {"c": "d"}}), ("18446744073709551615", 18446744073709551615),
           ('"\\u0041\\n"', "A\n"), ('"\\ud83d\\ude42"', "🙂"), ("1e2", 100)]
TO_JSON = [(5, 5), (-7, -7), (1.5, 1.5), ("žlutý", "žlutý"), (True, True), (None, None), ([1, [2]], [1, [2]]),
           ({"b": 1, "a": "c"}, {"b": 1, "a": "c"}), ("quote \" slash \\ \u0001", "quote \" slash \\ \u0001")]


@table([(token, token, want) for token, want in TO_CBOR])
def json_reaches_cbor_readers(t, broker, token, want):
    reader, writer = t.client(broker, kind="cbor"), t.client(broker)
    reader.sub("mixed/a")
    writer.send_raw('{"op":"pub","id":1,"topic":"mixed/a","data":%s}' % token)
    has(writer.answer(1), op="ok")
    eq(reader.next("msg")["data"], want, "data")


@table([(repr(value), value, want) for value, want in TO_JSON])
def cbor_reaches_json_readers(t, broker, value, want):
    reader, writer = t.client(broker), t.client(broker, kind="cbor")
    reader.sub("mixed/b")
    writer.pub("mixed/b", value) if value is not None else writer.ok("pub", topic="mixed/b", data=None)
    eq(reader.next("msg").get("data", "(absent)"), want, "data")


@case
def bytes_travel_as_base64_in_json_and_as_bytes_in_cbor(t):
    broker = t.broker()
    as_json, as_cbor = t.client(broker), t.client(broker, kind="cbor")
    as_json.sub("bytes/#")
    as_cbor.sub("bytes/#")
    for size in (0, 1, 2, 3, 57, 1000, 70000):
        blob = os.urandom(size)
        as_json.pub("bytes/json", data64=base64.b64encode(blob).decode())
        as_cbor.ok("pub", topic="bytes/cbor", data=blob)
        for _ in range(2):
            got = lacks(as_json.next("msg"), "data")
            eq(base64.b64decode(got["data64"], validate=True), blob, f"{size} bytes in JSON from {got['topic']}")
            got = as_cbor.next("msg")
            eq(got["data"], blob, f"{size} bytes in CBOR from {got['topic']}")


TOPICS_GOOD = ["a", "/", "a/b", "/a", "a/", "a//b", "ž/ö/🙂", " ", "a b", "$x", "$SYSTEM", "a.b:c;d", "a" * 1024,
               "/".join("a" * 64), "~", "%2F", "\u00a0"]
TOPICS_BAD = ["", "+", "#", "a/+", "a/#", "a+", "a#b", "a" * 1025, "ž" * 513, "/".join("a" * 65), "a\u0000b", "a\nb",
              "\u007f", "\u0085", "\t"]


@table([(repr(topic)[:40], topic, kind) for topic in TOPICS_GOOD for kind in ("json", "cbor")])
def topics_that_are_good(t, broker, topic, kind):
    client = t.client(broker, kind=kind)
    client.sub(topic)
    client.pub(topic, "x")
    has(client.next("msg"), topic=topic, data="x")


@table([(repr(topic)[:40], topic, op) for topic in TOPICS_BAD for op in ("pub", "req", "history")])
def topics_that_are_not(t, broker, topic, op):
    client = t.client(broker)
    extra = {} if op == "history" else {"data": 1}
    is_error(client.call(op, topic=topic, **extra), "bad_topic", 400)


@table([(topic, topic) for topic in ("$SYS", "$SYS/x", "$SYS/broker/version", "$DEAD", "$DEAD/a")])
def the_brokers_own_topics_are_read_only(t, broker, topic):
    client = t.client(broker)
    is_error(client.call("pub", topic=topic, data=1), "topic_forbidden", 403)
    is_error(client.call("req", topic=topic, data=1), "topic_forbidden", 403)


@table([("json", "json"), ("cbor", "cbor")])
def everything_a_publisher_says_reaches_the_reader(t, broker, kind):
    client = t.client(broker, kind=kind)
    client.sub("full/a")
    before = int(time.time() * 1000) - 50
    answer = client.ok("pub", topic="full/a", data={"v": 1}, key="k1", headers={"unit": "°C", "x": ""}, ttl_s=60)
    has(answer, matched=1, offset=lambda v: isinstance(v, int) and v >= 1, epoch=lambda v: isinstance(v, str) and v)
    got = has(client.next("msg"), topic="full/a", data={"v": 1}, key="k1", headers={"unit": "°C", "x": ""},
              offset=answer["offset"], epoch=answer["epoch"])
    between(got["ts"], before, int(time.time() * 1000) + 50, "ts")
    lacks(got, "retained", "reply", "try", "id", "sub", "data64")


@case
def offsets_are_dense_for_each_topic(t):
    client = t.client(t.broker())
    for n in range(1, 51):
        for topic in ("dense/a", "dense/b"):
            eq(client.pub(topic, n)["offset"], n, f"offset of {topic}")


@case
def matched_counts_readers(t):
    broker = t.broker()
    clients = [t.client(broker) for _ in range(4)]
    for client in clients[:3]:
        client.sub("count/+")
    clients[0].sub("count/a")  # still one reader
    eq(clients[3].pub("count/a", 1)["matched"], 3, "matched")
    eq(clients[3].pub("elsewhere", 1)["matched"], 0, "matched of nobody")
    clients[1].ok("unsub", topic="count/+")
    eq(clients[3].pub("count/a", 1)["matched"], 2, "matched after unsub")


ACKS = [("none", "any", "ok"), ("accepted", "any", "ok"), ("stored", "mem/a", "unsupported"), ("stored", "nolog/a", "unsupported"),
        ("replicated", "mem/a", "unsupported"), ("replicated", "nolog/a", "unsupported")]


@table([(f"{ack} on {topic}", ack, topic, want) for ack, topic, want in ACKS], broker={"config": NO_LOG})
def ack_levels(t, broker, ack, topic, want):
    client = t.client(broker)
    answer = client.call("pub", topic=topic, data=1, ack=ack)
    if want == "ok":
        has(answer, op="ok")
    else:
        is_error(answer, "unsupported", 422)


@case
def without_a_log_there_is_no_position(t):
    client = t.client(t.broker(config=NO_LOG))
    client.sub("nolog/a")
    lacks(client.pub("nolog/a", 1), "offset", "epoch")
    lacks(has(client.next("msg"), data=1), "offset", "epoch")


# Retained values --------------------------------------------------------------------------------------------------

@table([(f"{topic}, {kind}", topic, kind) for topic in ("nolog/r", "mem/r") for kind in ("json", "cbor")],
       broker={"config": NO_LOG})
def a_retained_value_waits_for_readers(t, broker, topic, kind):
    writer = t.client(broker, kind=kind)
    writer.pub(topic, "old", retain=True)
    writer.pub(topic, "kept", retain=True)
    live = t.client(broker, kind=kind)
    live.sub(topic)
    reader = t.client(broker, kind=kind)
    reader.sub(topic, **{"from": "latest"})
    has(reader.next("msg"), data="kept", retained=True)
    writer.pub(topic, "live", retain=True)
    lacks(has(reader.next("msg"), data="live"), "retained")
    lacks(has(live.next("msg"), data="live"), "retained")
    eq(reader.pending("msg"), [], "more messages")


@case
def a_retained_value_survives_messages_that_are_not_retained(t):
    broker = t.broker(config=NO_LOG)
    client = t.client(broker)
    client.pub("nolog/r", "kept", retain=True)
    client.pub("nolog/r", "passing")
    client.sub("nolog/r", **{"from": "latest"})
    has(client.next("msg"), data="kept", retained=True)
    client.pub("mem/r", "kept", retain=True)
    client.pub("mem/r", "newer")
    client.sub("mem/r", **{"from": "latest"})
    has(client.next("msg", topic="mem/r"), data="newer")
    client.barrier()
    eq(client.pending("msg"), [], "latest is one message a topic")


@case
def a_retained_value_is_cleared_by_one_without_data(t):
    broker = t.broker(config=NO_LOG)
    client = t.client(broker)
    client.pub("nolog/r", "kept", retain=True)
    client.ok("pub", topic="nolog/r", retain=True)
    client.sub("nolog/r", **{"from": "latest"})
    client.barrier()
    eq(client.pending("msg"), [], "messages after the clearing")
    client.pub("mem/r", "kept", retain=True)
    client.ok("pub", topic="mem/r", retain=True)
    client.sub("mem/#", **{"from": "latest"})
    client.barrier()
    ok(all("retained" not in m for m in client.pending("msg")), "a cleared value is still marked as retained")


@case
def retained_values_of_many_topics_come_by_wildcard(t):
    broker = t.broker(config=NO_LOG)
    writer, reader = t.client(broker), t.client(broker)
    for n in range(200):
        writer.pub(f"nolog/many/{n}", n, retain=True)
    reader.sub("nolog/many/+", **{"from": "latest"})
    got = reader.msgs(200)
    eq({(m["topic"], m["data"]) for m in got}, {(f"nolog/many/{n}", n) for n in range(200)}, "retained values")


# Time to live, dedup, expect --------------------------------------------------------------------------------------

@case
def what_has_expired_is_not_delivered(t):
    client = t.client(t.broker())
    client.pub("ttl/a", "short", ttl_s=1)
    client.pub("ttl/a", "long", ttl_s=100)
    client.pub("ttl/b", "kept short", ttl_s=1, retain=True)
    early = client.sub("ttl/+", sub=1, **{"from": "first"})
    eq(early["op"], "ok", "sub")
    eq([m["data"] for m in client.msgs(3)].count("short"), 1, "before the end")
    time.sleep(1.3)
    late = t.client(client_broker(t))
    late.sub("ttl/+", **{"from": "first"})
    late.barrier()
    late.pub("ttl/end", "end")
    frames = late.until(lambda f: f["op"] == "msg" and f["topic"] == "ttl/end")
    eq([f["data"] for f in frames if f["op"] == "msg"], ["long", "end"], "after the end")
    ok(all(f["reason"] == "expired" for f in frames if f["op"] == "gap"), "gap for another reason", frames)
    latest = t.client(client_broker(t))
    latest.sub("ttl/b", **{"from": "latest"})
    latest.barrier()
    eq(latest.pending("msg"), [], "an expired retained value")


def client_broker(t):
    return t.brokers[0]


@case
def a_dedup_key_publishes_once(t):
    broker = t.broker()
    a, b, reader = t.client(broker), t.client(broker), t.client(broker)
    reader.sub("dedup/#")
    first = a.pub("dedup/a", 1, dedup="k")
    again = a.pub("dedup/a", 1, dedup="k")
    eq((again["offset"], again["epoch"]), (first["offset"], first["epoch"]), "answer to the repeat")
    eq(b.pub("dedup/a", 1, dedup="k")["offset"], first["offset"], "from another connection")
    eq(a.pub("dedup/b", 2, dedup="k")["offset"], 1, "on another topic")
    eq(a.pub("dedup/a", 3, dedup="other")["offset"], first["offset"] + 1, "another key")
    a.pub("dedup/end", 0)
    got = reader.until(lambda f: f.get("topic") == "dedup/end")
    eq([m["data"] for m in got], [1, 2, 3, 0], "delivered")


@case
def repeats_that_arrive_together_publish_once(t):
    broker = t.broker()
    reader = t.client(broker)
    reader.sub("storm")
    clients = [t.client(broker) for _ in range(8)]
    for client in clients:
        client.send_many([{"op": "pub", "id": f"{n}", "topic": "storm", "data": n, "dedup": f"key{n}"} for n in range(40)])
    offsets = [[has(c.answer(f"{n}"), op="ok")["offset"] for n in range(40)] for c in clients]
    for n in range(40):
        eq(len({row[n] for row in offsets}), 1, f"different answers for key {n}: {[row[n] for row in offsets]}")
    reader.barrier()
    eq(sorted(m["data"] for m in reader.pending("msg")), list(range(40)), "delivered")


@case
def a_dedup_key_is_forgotten_after_its_window(t):
    client = t.client(t.broker(settings={"dedup.window": "1s"}))
    first = client.pub("dedup/a", 1, dedup="k")
    time.sleep(2.2)
    eq(client.pub("dedup/a", 1, dedup="k")["offset"], first["offset"] + 1, "offset after the window")


@case
def expect_publishes_only_on_the_newest_position(t):
    broker = t.broker(config=NO_LOG)
    client = t.client(broker)
    at = client.pub("expect/a", 1)
    here = {"offset": at["offset"], "epoch": at["epoch"]}
    second = client.pub("expect/a", 2, expect=here)
    eq(second["offset"], at["offset"] + 1, "offset")
    is_error(client.call("pub", topic="expect/a", data=3, expect=here), "expect_failed", 409)
    is_error(client.call("pub", topic="expect/a", data=3, expect={"offset": 2, "epoch": "other"}), "expect_failed", 409)
    is_error(client.call("pub", topic="expect/a", data=3, expect={"offset": 99, "epoch": at["epoch"]}), "expect_failed", 409)
    is_error(client.call("pub", topic="nolog/a", data=3, expect=here), "unsupported", 422)
    eq(client.pub("expect/a", 4)["offset"], second["offset"] + 1, "nothing was published by the refused ones")


@case
def expect_lets_exactly_one_of_many_win(t):
    broker = t.broker(workers=2)
    clients = [t.client(broker) for _ in range(6)]
    at = clients[0].pub("race", "start")
    for turn in range(20):
        for n, client in enumerate(clients):
            client.send("pub", id=f"{turn}", topic="race", data=n, expect={"offset": at["offset"], "epoch": at["epoch"]})
        answers = [client.answer(f"{turn}") for client in clients]
        won = [a for a in answers if a["op"] == "ok"]
        eq(len(won), 1, f"winners of turn {turn}: {answers}")
        at = won[0]


# Limits -----------------------------------------------------------------------------------------------------------

@table([("json", "json"), ("cbor", "cbor")])
def a_payload_over_the_limit_is_413_and_the_connection_stays(t, broker, kind):
    client = t.client(broker, kind=kind)
    client.sub("big")
    is_error(client.call("pub", topic="big", data="x" * ((1 << 20) + 1)), "too_large", 413)
    client.pub("big", "y" * ((1 << 20) - 16))
    eq(len(client.next("msg")["data"]), (1 << 20) - 16, "length of the one that fits")


@case
def the_limit_is_on_decoded_bytes(t):
    client = t.client(t.broker())
    client.pub("big", data64=base64.b64encode(bytes(1 << 20)).decode())
    is_error(client.call("pub", topic="big", data64=base64.b64encode(bytes((1 << 20) + 1)).decode()), "too_large", 413)


@case
def a_rule_bounds_size_and_rate(t):
    broker = t.broker(config={"topics": [{"filter": "slow/#", "max-rate": "5/s"}, {"filter": "small/#", "max-size": "100"}]})
    client = t.client(broker)
    client.pub("small/a", "x" * 50)
    is_error(client.call("pub", topic="small/a", data="x" * 200), "too_large", 413)
    client.send_many([{"op": "pub", "id": f"r{n}", "topic": "slow/a", "data": n} for n in range(40)])
    answers = [client.answer(f"r{n}") for n in range(40)]
    refused = [a for a in answers if a["op"] == "err"]
    ok(len(refused) >= 20, f"{len(refused)} of 40 refused at 5/s")
    for answer in refused:
        has(is_error(answer, "rate_limited", 429), retry=True)
    client.pub("fast/a", 1)


@case
def many_publishes_in_one_write_are_all_answered_in_order(t):
    client = t.client(t.broker())
    client.sub("burst")
    client.send_many([{"op": "pub", "id": f"b{n}", "topic": "burst", "data": n} for n in range(3000)])
    eq([client.answer(f"b{n}")["offset"] for n in range(3000)], list(range(1, 3001)), "offsets")
    eq([m["data"] for m in client.msgs(3000)], list(range(3000)), "delivered")


@case
def order_holds_for_each_publisher_and_topic(t):
    broker = t.broker(workers=2)
    reader = t.client(broker)
    reader.sub("order/#")

    def publish(name):
        client = t.client(broker)
        for n in range(0, 600, 50):
            client.send_many([{"op": "pub", "topic": f"order/{k % 3}", "data": [name, k]} for k in range(n, n + 50)])
        client.barrier()
    threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    seen, offsets = {}, {}
    for got in reader.msgs(2400, timeout=20 * SLOW):
        name, number = got["data"]
        where = (name, got["topic"])
        ok(number > seen.get(where, -1), f"{where}: {number} after {seen.get(where)}")
        seen[where] = number
        eq(got["offset"], offsets.get(got["topic"], 0) + 1, f"offset on {got['topic']}")
        offsets[got["topic"]] = got["offset"]
    for thread in threads:
        thread.join()
