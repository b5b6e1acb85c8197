"""Small print of the protocol sheet, each sentence by an experiment: bounds, sizes, addresses, pages of history."""
import time
from json import dumps

import cbor2

from support.broker import SLOW
from support.check import eq, has, is_error, lacks, ok
from support.runner import case
from support.sluice_client import to_cbor
from support.websocket import Refused
from support.wire import BINARY, Late

MIB = 1 << 20


def settle(client, frame):
    client.send("ack", **{name: frame[name] for name in ("sub", "topic", "offset", "epoch")})


@case(timeout=60, checked=False)
def a_member_that_does_not_read_is_bounded_and_loses_nothing(t):
    broker = t.broker(workers=2)
    writer = t.client(broker, timeout=30)
    stuck = t.client(broker, rcvbuf=4096, timeout=30)
    stuck.sub("jobs/1", group="g", ack=True, ack_wait_ms=20, sub=1)
    for n in range(64):
        writer.pub("jobs/1", [n, "x" * 100000])
    before = broker.rss()
    time.sleep(3)
    ok(broker.rss() - before < 8 * MIB, "memory grows with each redelivery", broker.rss() - before)
    helper = t.client(broker, timeout=30)
    helper.sub("jobs/1", group="g", ack=True, ack_wait_ms=5000, sub=1)
    stuck.abort()
    seen = set()
    while len(seen) < 64:
        frame = helper.next("msg")
        seen.add(frame["data"][0])
        settle(helper, frame)


@case(timeout=60)
def a_member_that_reads_again_gets_the_rest(t):
    broker = t.broker(workers=2)
    writer = t.client(broker, timeout=30)
    member = t.client(broker, rcvbuf=4096, timeout=30)
    member.sub("jobs/1", group="g", ack=True, ack_wait_ms=400, credit=200, sub=1)
    for n in range(60):
        writer.pub("jobs/1", [n, "x" * 60000])
    time.sleep(1.5)
    seen, deadline = set(), time.monotonic() + 20 * SLOW
    while len(seen) < 60 and time.monotonic() < deadline:
        try:
            frame = member.read(2)
        except Late:
            continue
        if frame["op"] == "msg":
            seen.add(frame["data"][0])
            settle(member, frame)
    eq(len(seen), 60, "jobs that came")


@case
def history_backwards_stays_within_its_from(t):
    broker = t.broker(workers=2)
    client = t.client(broker)
    stamps = []
    for n in range(10):
        client.pub("h", n)
        time.sleep(0.005)
    stamps = [item["ts"] for item in client.ok("history", topic="h")["items"]]

    def back(**fields):
        return client.ok("history", topic="h", reverse=True, **fields)

    eq([i["data"] for i in back()["items"]], list(range(9, -1, -1)), "all")
    eq([i["data"] for i in back(**{"from": "latest"})["items"]], [9], "latest")
    last = back(**{"from": {"last": 3}})
    eq([i["data"] for i in last["items"]], [9, 8, 7], "the last three")
    lacks(last, "next")
    eq([i["data"] for i in back(limit=50, **{"from": {"last": 3}})["items"]], [9, 8, 7], "no more than the last three")
    page = back(limit=2, **{"from": {"last": 3}})
    eq([i["data"] for i in page["items"]], [9, 8], "a page of them")
    has(page, next=lambda p: p["offset"] == 9)
    eq([i["data"] for i in back(**{"from": {"since": stamps[6]}})["items"]], [9, 8, 7, 6], "since")


@case
def a_plus_in_the_address_is_a_wildcard(t):
    broker = t.broker()
    writer = t.client(broker)
    for filter, topic in (("a/+", "a/x"), ("a/%2B", "a/x"), ("%2B/x", "a/x"), ("a/+/c", "a/b/c"), ("a%20b", "a b"),
                          ("a%2541", "a%41"), ("a=b", "a=b")):
        reader = t.client(broker, path=f"/ws?sub={filter}", hello=False)
        reader.next("hello")
        reader.sub("behind/the/others/+")  # ?sub= has no ok of its own: this one's comes after it is in force
        writer.pub(topic, 1)
        has(reader.next("msg"), filter, topic=topic)


@case
def every_subscription_of_a_long_address_is_made(t):
    broker = t.broker()
    reader = t.client(broker, path="/ws?" + "&".join(f"sub={n}" + "y" * 100 for n in range(50)), hello=False)
    reader.barrier()
    for number in range(1, 51):
        reader.ok("unsub", sub=number)


@case
def an_address_that_is_too_long_is_refused(t):
    broker = t.broker(settings={"limits.header-bytes": "64KiB"})
    try:
        t.ws(broker, path="/ws?sub=" + "y" * 20000)
    except Refused as refused:
        eq(refused.reply.status, 414, "status")
        ok(len(refused.reply.body) > 10, "a reason", refused.reply.body)
    else:
        ok(False, "the connection came in without its subscription")


@case
def text_of_exactly_the_limit_passes_in_both_encodings(t):
    broker = t.broker()
    for kind in ("json", "cbor"):
        client = t.client(broker, kind=kind)
        client.sub("size")
        for text in ("x" * MIB, "é" * (MIB // 2), "€" * (MIB // 3)):
            frame = {"op": "pub", "id": 1, "topic": "size", "data": text}
            client.send_raw(to_cbor(frame) if kind == "cbor" else dumps(frame, ensure_ascii=False))
            has(client.answer(1), op="ok")
            eq(client.next("msg")["data"] == text, True, f"{kind}: the text as it was")
        is_error(client.call("pub", topic="size", data="x" * (MIB + 1)), "too_large", 413)
    # escapes count as what they stand for: two bytes each here
    json = t.client(broker)
    json.send_raw('{"op":"pub","id":1,"topic":"size","data":"%s%s"}' % ("\\u00e9" * 200000, "x" * (MIB - 400000)))
    has(json.answer(1), op="ok")
    json.send_raw('{"op":"pub","id":2,"topic":"size","data":"%s%s"}' % ("\\u00e9" * 200000, "x" * (MIB - 399999)))
    is_error(json.answer(2), "too_large", 413)
    # and text in chunks as what they hold
    cbor = t.client(broker, kind="cbor")
    for number, tail in ((1, b"\x61y"), (2, b"\x62yy")):
        text = b"\x7f\x7a" + (MIB - 1).to_bytes(4, "big") + b"x" * (MIB - 1) + tail + b"\xff"
        cbor.ws.send_frame(BINARY, b"\xa4\x00" + cbor2.dumps("pub") + b"\x01" + cbor2.dumps(number) + b"\x02" +
                           cbor2.dumps("size") + b"\x03" + text)
        if number == 1:
            has(cbor.answer(1), op="ok")
        else:
            is_error(cbor.answer(2), "too_large", 413)


@case
def an_answer_may_be_as_large_as_a_message(t):
    broker = t.broker(workers=2)
    asks, serves = t.client(broker), t.client(broker)
    serves.sub("serve")
    asks.send("req", id=1, topic="serve", data=0)
    serves.ok("pub", topic=serves.next("msg")["reply"], data="x" * MIB)
    eq(len(asks.answer(1)["data"]), MIB, "the answer")


@case
def a_cbor_member_under_its_number_and_its_name_is_a_bad_frame(t):
    broker = t.broker()
    client = t.client(broker, kind="cbor")
    for twice in ({0: "ping", "op": "ping", 1: 1}, {0: "ping", 1: 1, "id": 1}, {0: "pub", 1: 1, 2: "a", "topic": "a", 3: 1},
                  {0: "pub", 1: 1, 2: "a", 3: 1, "data": 1}):
        client.ws.send_frame(BINARY, cbor2.dumps(twice))
        is_error(client.answer(1), "bad_frame", 400, str(twice))


def rights(*filters):
    return {"anonymous": {"publish": list(filters), "subscribe": list(filters)}}


@case
def rights_taken_away_end_what_lives_on_them(t):
    broker = t.broker(dev=False, workers=2, config=rights("a/#", "b/#"))
    reader, kept = t.client(broker), t.client(broker)
    reader.sub("a/1", sub=1)
    reader.sub("b/1", sub=2)
    kept.sub("b/1", sub=1)
    broker.write_config(rights("b/#"))
    broker.reload()
    has(reader.next("end", timeout=10 * SLOW), sub=1, code="topic_forbidden")
    is_error(reader.call("pub", topic="a/1", data=1), "topic_forbidden", 403)
    is_error(reader.call("sub", topic="a/1"), "topic_forbidden", 403)
    reader.pub("b/1", 2)
    has(reader.next("msg"), topic="b/1", data=2)
    has(kept.next("msg"), topic="b/1", data=2)
    broker.write_config({})
    broker.reload()
    has(reader.bye(timeout=10 * SLOW), close=4401)


@case
def what_was_queued_for_a_right_goes_with_it(t):
    broker = t.broker(dev=False, config=rights("a/#", "b/#"))
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("a/1", sub=1)
    for n in range(8):  # far more than the socket takes while nobody reads
        writer.send_many([{"op": "pub", "topic": "a/1", "data": "x" * 100000} for _ in range(8)])
        writer.barrier()
    broker.write_config(rights("b/#"))
    broker.reload()
    deadline = time.monotonic() + 10 * SLOW
    while writer.call("pub", topic="a/1", data=1)["op"] == "ok":
        ok(time.monotonic() < deadline, "the reload did not come into force")
    writer.barrier()
    frames = reader.until(lambda f: f["op"] == "bye")
    has(frames[-1], close=4300, code="draining", retry=True)
    ok(len([f for f in frames if f["op"] == "msg"]) < 64, "the queue was sent all the same", len(frames))
    has(t.client(broker).call("sub", topic="a/1"), op="err", code="topic_forbidden")


@case
def a_first_frame_that_is_refused_gets_its_answer(t):
    broker = t.broker(dev=False)
    client = t.client(broker, hello=False)
    client.send("ping", id=5)
    has(is_error(client.read(), "auth_required", 401), id=5)
    has(client.bye(), close=4401)


@case
def the_newest_of_a_key_is_the_newest_wherever_its_topic_lives(t):
    broker = t.broker(workers=2)
    writer = t.client(broker)
    for n in range(12):
        writer.pub(f"homes/{n}", n, key="k")
        time.sleep(0.003)
    for start in ("latest", "first"):
        reader = t.client(broker)
        reader.sub("homes/+", sub=1, conflate={"by": "key", "hz": 20}, **{"from": start})
        eq(reader.next("msg")["data"], 11, f"from {start}")


@case(timeout=60)
def a_repeat_waits_for_the_answer_of_the_first(t):
    broker = t.broker(workers=2)
    readers = [t.client(broker) for _ in range(20)]
    for reader in readers:
        reader.sub("once/#")
    writers = [t.client(broker) for _ in range(6)]
    for turn in range(20):
        for writer in writers:
            writer.send("pub", topic=f"once/{turn}", data=turn, id="p", dedup="same")
        answers = [writer.answer("p") for writer in writers]
        eq({(a["offset"], a["epoch"], a["matched"]) for a in answers}, {(1, answers[0]["epoch"], 20)}, f"answers {turn}")


@case(timeout=60)
def a_reader_that_is_always_behind_can_resume_where_it_is(t):
    broker = t.broker(workers=2)
    reader, writer = t.client(broker), t.client(broker)
    reader.sub("behind/#", sub=1, credit=3)
    for n in range(60):
        writer.pub(f"behind/{n % 7}", n)
    seen, cursor, stop = set(), None, time.monotonic() + 4 * SLOW
    while time.monotonic() < stop and len(seen) < 30:
        try:
            frame = reader.read(0.2)
        except Late:
            reader.send("flow", sub=1, credit=3)
            continue
        if frame["op"] == "msg":
            seen.add(frame["data"])
        elif frame["op"] == "cur":
            cursor = frame["cur"]
    ok(cursor is not None, "no cur came", sorted(seen))
    reader.abort()
    again = t.client(broker)
    has(again.sub("behind/#", sub=1, **{"from": {"cur": cursor}}), recovered=True)
    writer.pub("behind/end", "end")
    while True:
        value = again.next("msg")["data"]
        if value == "end":
            break
        seen.add(value)
    eq(seen, set(range(60)), "messages of both connections together")


BROKEN = (("reserved bits", b"\x91\x85\0\0\0\0hello"), ("reserved opcode", b"\x83\x85\0\0\0\0hello"),
          ("continuation of nothing", b"\x80\x85\0\0\0\0hello"),
          ("ping of 126 bytes", b"\x89\xfe\0\x7e\0\0\0\0" + 126 * b"x"))


@case
def broken_framing_is_told_by_bye_as_well(t):
    broker = t.broker()
    for name, raw in BROKEN:
        client = t.client(broker)
        client.ws.sock.sendall(raw)
        has(client.bye(), name, close=1002, code="protocol_error", retry=False)
    left = t.client(broker)
    left.abort()
    eq(t.client(broker).call("ping")["op"], "pong", "others")
