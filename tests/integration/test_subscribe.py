"""Subscribing: filters, numbers, overlapping, echo, content filters, ?sub=, and every form of `from` on the memory log."""
import time

from support.broker import SLOW
from support.check import eq, fail, has, is_error, lacks, ok, one_of
from support.runner import case, table
from support.websocket import Refused
from support.wire import Gone

# filter, topics that match, topics that do not: the examples of MQTT 5, section 4.7, and the corners around them
MATCHING = [
    ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"],
     ["sport/tennis", "sport/tennis/player10", "sport/tennis/player2"]),
    ("sport/#", ["sport", "sport/", "sport/a/b"], ["sports", "spor", "/sport"]),
    ("#", ["a", "a/b", "/", "/a"], ["$SYSx", "$x/y"]),
    ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/"], ["sport/tennis", "sport/tennis/player1/ranking"]),
    ("sport/+", ["sport/", "sport/x"], ["sport", "sport/x/y"]),
    ("+/+", ["/finance", "a/b"], ["finance", "a/b/c", "$x/y"]),
    ("/+", ["/finance", "/"], ["finance", "/a/b"]),
    ("+", ["finance", "x"], ["/finance", "$x"]),
    ("+/monitor/Clients", ["a/monitor/Clients"], ["$x/monitor/Clients"]),
    ("+/tennis/#", ["sport/tennis", "sport/tennis/a/b", "/tennis"], ["tennis", "sport/golf"]),
    ("sport/+/player1", ["sport/tennis/player1", "sport//player1"], ["sport/player1", "sport/a/b/player1"]),
    ("$x/#", ["$x", "$x/y"], ["x", "x/y"]),
    ("a//b", ["a//b"], ["a/b", "a///b"]),
    ("a/+/+/#", ["a/b/c", "a/b/c/d/e", "a///"], ["a/b", "b/b/c"]),
    ("A/b", ["A/b"], ["a/b", "A/B"]),
]


@table(MATCHING and [(f, f, hits, misses) for f, hits, misses in MATCHING])
def filters_match_as_in_mqtt(t, broker, topic_filter, hits, misses):
    reader, writer = t.client(broker), t.client(broker)
    reader.sub(topic_filter)
    reader.sub("zzz-end/zzz", sub=900)
    for topic in misses + hits:
        writer.pub(topic, topic)
    writer.pub("zzz-end/zzz", "end")
    frames = reader.until(lambda f: f.get("data") == "end")
    got = [f["topic"] for f in frames if f["op"] == "msg"]
    eq(sorted(name for name in set(got) if name != "zzz-end/zzz"), sorted(hits), "topics delivered")


BAD_FILTERS = ["sport+", "sport/tennis#", "sport/tennis/#/ranking", "#/a", "a/#/b", "+a", "a/+b", "a/b+", "##", "++", "a/##",
               "", "a\u0000", "a" * 1025, "/".join("+" * 65), "a\nb"]


@table([(repr(f)[:30], f) for f in BAD_FILTERS])
def filters_that_are_none(t, broker, topic_filter):
    client = t.client(broker)
    answer = client.call("sub", topic=topic_filter)
    one_of(answer.get("code"), ("bad_filter", "bad_topic"), "code")
    is_error(answer, answer["code"], 400)


# Numbers and overlapping ------------------------------------------------------------------------------------------

@table([("json", "json"), ("cbor", "cbor")])
def the_broker_numbers_what_the_client_does_not(t, broker, kind):
    client = t.client(broker, kind=kind)
    chosen = client.sub("a", sub=41)
    eq(chosen["sub"], 41, "chosen number")
    numbers = {client.sub(f"b/{n}")["sub"] for n in range(10)}
    eq(len(numbers - {41}), 10, "numbers given")
    is_error(client.call("sub", topic="c", sub=41), "sub_exists", 409)
    is_error(client.call("unsub", sub=4242), "unknown_sub", 404)
    is_error(client.call("unsub", topic="never"), "unknown_sub", 404)
    client.ok("unsub", sub=41)
    eq(client.sub("c", sub=41)["sub"], 41, "number used again")
    eq(client.sub("zero", sub=0)["sub"], 0, "zero is a number")


@case
def requests_need_no_waiting(t):
    """sub, pub and unsub in one write work because the client chose the number."""
    client = t.client(t.broker())
    client.send_many([{"op": "sub", "topic": "pipe", "sub": 3, "id": "s"}, {"op": "pub", "topic": "pipe", "data": 1, "id": "p"},
                      {"op": "unsub", "sub": 3, "id": "u"}, {"op": "pub", "topic": "pipe", "data": 2, "id": "q"}])
    for name in ("s", "p", "u", "q"):
        has(client.answer(name), op="ok")
    client.barrier()
    ok(all(m["data"] == 1 for m in client.pending("msg")), "something followed the ok to unsub")


@case
def nothing_follows_the_ok_to_unsub(t):
    broker = t.broker(workers=2)
    writer, reader = t.client(broker), t.client(broker)
    for turn in range(30):
        sub = reader.sub("stop/a")["sub"]
        writer.send_many([{"op": "pub", "topic": "stop/a", "data": [turn, n]} for n in range(50)])
        reader.send("unsub", sub=sub, id=f"u{turn}")
        reader.until(lambda f, turn=turn: f.get("id") == f"u{turn}")
        writer.barrier()
        reader.barrier()
        eq(reader.pending("msg"), [], f"messages after the ok to unsub in turn {turn}")


@table([("json", "json"), ("cbor", "cbor")])
def plain_subscriptions_that_overlap_give_one_copy_without_sub(t, broker, kind):
    client = t.client(broker, kind=kind)
    for topic in ("over/a", "over/+", "over/#", "#"):
        client.sub(topic)
    client.pub("over/a", 1)
    client.barrier()
    got = client.pending("msg")
    eq(len(got), 1, f"copies: {got}")
    lacks(got[0], "sub")


@case
def other_subscriptions_get_their_own_copy_with_sub(t):
    client = t.client(t.broker())
    client.sub("over/a")
    client.sub("over/+", sub=11, credit=100)
    client.sub("over/#", sub=12, filter={"data.v": {"gt": 0}})
    client.sub("over/a", sub=13, conflate={"hz": 50})
    client.pub("over/a", {"v": 1})
    client.barrier()
    got = client.pending("msg")
    eq(sorted(str(m.get("sub")) for m in got), ["11", "12", "13", "None"], "copies by sub")


@case
def a_copy_is_byte_identical_for_every_plain_reader(t):
    broker = t.broker()
    readers = [t.client(broker) for _ in range(3)]
    for reader in readers:
        reader.sub("same/#")
    t.client(broker).pub("same/a", {"b": 1, "a": [1, 2]}, key="k", headers={"x": "y"})
    raws = set()
    for reader in readers:
        reader.next("msg")
        raws.add(reader.raw_last)
    eq(len(raws), 1, f"different bytes: {raws}")


@table([("json", "json"), ("cbor", "cbor")])
def echo_false_leaves_out_the_own_messages(t, broker, kind):
    me, other = t.client(broker, kind=kind), t.client(broker, kind=kind)
    me.sub("echo/a", echo=False)
    me.pub("echo/a", "mine")
    other.pub("echo/a", "theirs")
    me.barrier()
    eq([m["data"] for m in me.pending("msg")], ["theirs"], "messages")


# Content filters --------------------------------------------------------------------------------------------------

DATA = {"px": 150, "s": "eu", "flag": True, "nil": None, "f": 1.5, "deep": {"x": 1}, "big": 12345678901234567890}
HEADERS = {"region": "eu", "level": "7"}
CONTENT = [
    ({"headers.region": "eu"}, True), ({"headers.region": "us"}, False), ({"headers.none": "eu"}, False),
    ({"headers.region": {"eq": "eu"}}, True), ({"headers.region": {"ne": "us"}}, True), ({"headers.region": {"in": ["us", "eu"]}}, True),
    ({"headers.region": {"exists": True}}, True), ({"headers.none": {"exists": False}}, True),
    ({"headers.level": {"gt": 5}}, False), ({"headers.level": {"gt": "5"}}, True),
    ({"data.px": 150}, True), ({"data.px": {"gt": 100}}, True), ({"data.px": {"gt": 150}}, False), ({"data.px": {"ge": 150}}, True),
    ({"data.px": {"lt": 150.5}}, True), ({"data.px": {"le": 149}}, False), ({"data.px": {"gt": 100, "lt": 200}}, True),
    ({"data.px": {"gt": 100, "lt": 120}}, False), ({"data.px": {"ne": 150}}, False), ({"data.px": {"in": [1, 150]}}, True),
    ({"data.px": "150"}, False), ({"data.px": {"lt": "zzz"}}, False), ({"data.s": {"gt": "ea"}}, True), ({"data.s": {"gt": 5}}, False),
    ({"data.flag": True}, True), ({"data.flag": 1}, False), ({"data.flag": {"eq": False}}, False),
    ({"data.nil": None}, True), ({"data.nil": {"exists": True}}, True), ({"data.gone": {"exists": False}}, True),
    ({"data.gone": {"exists": True}}, False), ({"data.f": 1.5}, True), ({"data.f": {"le": 1.5}}, True),
    ({"data.deep": {"exists": True}}, True), ({"data.px": {"gt": 100}, "headers.region": "eu"}, True),
    ({"data.px": {"gt": 100}, "headers.region": "us"}, False), ({"data.big": {"gt": 12345678900000000000}}, True),
]


@table([(f"{c} {kind}"[:90], c, want, kind) for c, want in CONTENT for kind in ("json", "cbor")])
def content_filters(t, broker, comparison, want, kind):
    client = t.client(broker, kind=kind)
    client.sub("content/a", sub=7, filter=comparison)
    client.pub("content/a", DATA, headers=HEADERS)
    client.barrier()
    got = client.pending()
    eq(len([m for m in got if m["op"] == "msg"]), int(want), f"deliveries: {got}")
    eq([m for m in got if m["op"] == "gap"], [], "filtering is not loss")


@table([("a text", '"eu"'), ("a number", "5"), ("a list", "[1,2]"), ("null", "null"), ("bytes", None)])
def payloads_without_fields_match_no_comparison_on_data(t, broker, token):
    client = t.client(broker)
    client.sub("content/b", filter={"data.px": {"ne": 5}})
    client.send_raw('{"op":"pub","id":1,"topic":"content/b",%s}' % (f'"data":{token}' if token else '"data64":"AAEC"'))
    has(client.answer(1), op="ok")
    client.barrier()
    eq(len(client.pending("msg")), 0, "a comparison on a field that is not there")


@case
def filters_work_on_replay_and_in_the_other_encoding(t):
    broker = t.broker()
    writer, reader = t.client(broker), t.client(broker, kind="cbor")
    for n in range(20):
        writer.pub("content/c", {"n": n})
    reader.sub("content/c", filter={"data.n": {"ge": 15}}, **{"from": "first"})
    writer.pub("content/c", {"n": 20})
    eq([m["data"]["n"] for m in reader.msgs(6)], [15, 16, 17, 18, 19, 20], "filtered")


# ?sub= ------------------------------------------------------------------------------------------------------------

URLS = [("one", "/ws?sub=sensors/%23", ["sensors/a"]), ("on the root path", "/?sub=sensors/%23", ["sensors/a"]),
        ("two", "/ws?sub=sensors/%2B&sub=other", ["sensors/a", "other"]),
        ("encoded in full", "/ws?sub=%C5%BElut%C3%BD%2Fk%C5%AF%C5%88", ["žlutý/kůň"]), ("beside others", "/ws?x=1&sub=a&y=2", ["a"])]


@table([(f"{name}, {kind}", path, topics, kind) for name, path, topics in URLS for kind in ("json", "cbor")])
def the_url_subscribes_at_once(t, broker, path, topics, kind):
    reader, writer = t.client(broker, path=path, hello=False, kind=kind), t.client(broker)
    has(reader.read(), op="hello")
    for topic in topics:
        deadline = time.monotonic() + 10 * SLOW
        while True:  # the interest is in force a moment after the hello
            writer.pub(topic, "probe")
            try:
                has(reader.next("msg", timeout=0.1, topic=topic), data="probe")
                break
            except AssertionError:
                ok(time.monotonic() < deadline, f"nothing of {topic} comes")


@table([("bad filter", "/ws?sub=a%23"), ("empty", "/ws?sub="), ("broken escape", "/ws?sub=%zz"), ("NUL", "/ws?sub=a%00b")])
def a_url_that_asks_for_nonsense_is_told(t, broker, path):
    try:
        reader = t.client(broker, path=path, hello=False)
    except (Refused, Gone):
        return  # the library refuses what is no URL
    frames = reader.until(lambda f: f["op"] in ("err", "bye"))
    one_of(frames[-1].get("code"), ("bad_filter", "bad_topic", "bad_frame"), "code")


# from -------------------------------------------------------------------------------------------------------------

def filled(t, broker, topic="log/a", count=10, **fields):
    writer = t.client(broker)
    return writer, [writer.pub(topic, n, **fields) for n in range(1, count + 1)]


def data_from(t, broker, topic, start, kind="json", end="log/a", **fields):
    """What a subscription with that `from` delivers up to a message published after its ok."""
    reader, writer = t.client(broker, kind=kind), t.client(broker)
    answer = reader.call("sub", topic=topic, **{"from": start}, **fields)
    has(answer, op="ok", recovered=lambda v: isinstance(v, bool))
    writer.pub(end, "end")
    frames = reader.until(lambda f: f.get("data") == "end")
    return answer, frames, [f["data"] for f in frames if f["op"] == "msg"][:-1]


FROM = [
    ("new", lambda p: "new", []),
    ("latest", lambda p: "latest", [10]),
    ("first", lambda p: "first", list(range(1, 11))),
    ("last 3", lambda p: {"last": 3}, [8, 9, 10]),
    ("last 1", lambda p: {"last": 1}, [10]),
    ("last more than there are", lambda p: {"last": 5000}, list(range(1, 11))),
    ("after the fourth", lambda p: {"offset": 4, "epoch": p[0]["epoch"]}, list(range(5, 11))),
    ("after nothing", lambda p: {"offset": 0, "epoch": p[0]["epoch"]}, list(range(1, 11))),
    ("after the newest", lambda p: {"offset": 10, "epoch": p[0]["epoch"]}, []),
]


@table([(f"{name}, {kind}", start, want, kind) for name, start, want in FROM for kind in ("json", "cbor")])
def from_forms_on_one_topic(t, broker, start, want, kind):
    topic = f"log/{len(t.opened)}/{time.monotonic_ns()}"
    _, positions = filled(t, broker, topic)
    answer, frames, got = data_from(t, broker, topic, start(positions), kind, end=topic)
    eq(got, want, "replayed")
    eq(answer["recovered"], True, "recovered")
    eq([f for f in frames if f["op"] == "gap"], [], "gaps")


@case
def new_is_the_default_and_says_where_it_begins(t):
    broker = t.broker()
    filled(t, broker)
    reader = t.client(broker)
    has(reader.sub("log/a"), offset=10, epoch=lambda v: isinstance(v, str))


@case
def from_since(t):
    broker = t.broker()
    writer = t.client(broker)
    for n in range(1, 6):
        writer.pub("since/a", n)
        time.sleep(0.02)
    middle = int(time.time() * 1000)
    time.sleep(0.02)
    for n in range(6, 9):
        writer.pub("since/a", n)
    _, _, got = data_from(t, broker, "since/a", {"since": middle}, end="since/a")
    eq(got, [6, 7, 8], "since the middle")
    time.sleep(0.02)
    before = int(time.time() * 1000)
    time.sleep(0.02)
    reader = t.client(broker)
    reader.sub("since/+", **{"from": {"since": before}})
    writer.pub("since/b", "b")
    eq([m["data"] for m in reader.msgs(1)], ["b"], "since a moment ago, by wildcard")
    _, _, got = data_from(t, broker, "since/a", {"since": int(time.time() * 1000) + 100000}, end="since/a")
    eq(got, [], "since the future")


@case
def from_on_wildcards_is_for_each_topic(t):
    broker = t.broker()
    writer = t.client(broker)
    for n in range(1, 6):
        for name in "abc":
            writer.pub(f"wild/{name}", f"{name}{n}")
    for start, want in (("latest", 1), ("first", 5), ({"last": 2}, 2), ("new", 0)):
        reader = t.client(broker)
        reader.sub("wild/+", **{"from": start})
        writer.pub("wild/end", f"end of {start}")
        frames = reader.until(lambda f, start=start: f.get("data") == f"end of {start}")
        for name in "abc":
            got = [f["data"] for f in frames if f["op"] == "msg" and f["topic"] == f"wild/{name}"]
            eq(got, [f"{name}{n}" for n in range(6 - want, 6)], f"{start} of wild/{name}")
        ok(not any(f["op"] == "gap" for f in frames), "gap", frames)


@case
def an_offset_under_a_wildcard_is_bad_filter(t):
    broker = t.broker()
    _, positions = filled(t, broker)
    is_error(t.client(broker).call("sub", topic="log/+", **{"from": {"offset": 3, "epoch": positions[0]["epoch"]}}),
             "bad_filter", 400)


LOST = [("another epoch", lambda p: {"offset": 4, "epoch": "zz9"}, "epoch"),
        ("an epoch of odd form", lambda p: {"offset": 4, "epoch": "😀"}, "epoch"),
        ("trimmed", lambda p: {"offset": 4, "epoch": p[0]["epoch"]}, "trimmed")]


@table([(f"{name}, {kind}", start, reason, kind) for name, start, reason in LOST for kind in ("json", "cbor")],
       broker={"config": {"topics": [{"filter": "log/#", "log": "memory", "max-count": 10}]}})
def what_can_no_longer_be_served_is_announced(t, broker, start, reason, kind):
    """recovered:false in the ok, one gap, then as latest."""
    topic = f"log/{time.monotonic_ns()}"
    _, positions = filled(t, broker, topic, count=30)
    answer, frames, got = data_from(t, broker, topic, start(positions), kind, end=topic)
    eq(answer["recovered"], False, "recovered")
    gaps = [f for f in frames if f["op"] == "gap"]
    eq(len(gaps), 1, f"gaps: {frames}")
    has(gaps[0], reason=reason, sub=answer["sub"])
    eq(got, [30], "after the gap comes the latest")
    eq([f["op"] for f in frames], ["gap", "msg", "msg"], "order")


@case
def a_trimmed_gap_says_how_many_are_lost(t):
    broker = t.broker(config={"topics": [{"filter": "log/#", "log": "memory", "max-count": 10}]})
    _, positions = filled(t, broker, count=30)
    _, frames, got = data_from(t, broker, "log/a", {"offset": 4, "epoch": positions[0]["epoch"]})
    gap = next(f for f in frames if f["op"] == "gap")
    eq(gap.get("lost", 0) + len(got), 26, f"lost + received = published after offset 4; {gap}")


@case
def the_default_log_keeps_a_hundred(t):
    broker = t.broker()
    filled(t, broker, count=250)
    _, _, got = data_from(t, broker, "log/a", "first")
    eq(got, list(range(151, 251)), "kept")


@table([("json", "json"), ("cbor", "cbor")])
def a_cursor_resumes_a_wildcard(t, broker, kind):
    writer, reader = t.client(broker), t.client(broker, kind=kind)
    base = f"cur/{kind}"
    first = reader.sub(f"{base}/#")
    writer.pub(f"{base}/a", 0)
    has(reader.next("msg"), data=0)
    cur = reader.next("cur", timeout=8)
    has(cur, sub=first["sub"], cur=lambda v: v)
    reader.abort()
    for n in range(1, 30):
        writer.pub(f"{base}/{'abc'[n % 3]}", n)
    back = t.client(broker, kind=kind)
    has(back.sub(f"{base}/#", **{"from": {"cur": cur["cur"]}}), recovered=True)
    writer.pub(f"{base}/end", "end")
    got = [f["data"] for f in back.until(lambda f: f.get("data") == "end") if f["op"] == "msg"]
    eq(sorted(n for n in set(got) if n not in ("end", 0)), list(range(1, 30)), "caught up")
    for third in range(3):
        mine = [n for n in got if n != "end" and n and n % 3 == third]
        eq(mine, sorted(mine), "order within a topic")


@case
def the_cursor_of_an_ok_resumes_too(t):
    broker = t.broker()
    writer, reader = t.client(broker), t.client(broker)
    writer.pub("cur2/a", "before")
    cur = reader.sub("cur2/+").get("cur")
    ok(cur, "no cur in the ok to a wildcard over logged topics")
    reader.abort()
    for n in range(5):
        writer.pub(f"cur2/{n}", n)
    back = t.client(broker)
    has(back.sub("cur2/+", **{"from": {"cur": cur}}), recovered=True)
    eq(sorted(m["data"] for m in back.msgs(5)), list(range(5)), "caught up")


@case
def cursor_frames_come_at_most_once_a_second(t):
    broker = t.broker()
    writer, reader = t.client(broker), t.client(broker)
    reader.sub("cur3/#")
    started = time.monotonic()
    while time.monotonic() - started < 2.5:
        writer.pub("cur3/a", 1)
        time.sleep(0.02)
    reader.barrier()
    count = len(reader.pending("cur"))
    ok(1 <= count <= 4, f"{count} cur frames in 2.5 s")


@table([("rubbish", "rubbish"), ("empty", ""), ("long", "A" * 5000), ("numbers", "1.2.3.4"), ("not text", 5)])
def a_cursor_that_is_none_is_refused_or_not_recovered(t, broker, cur):
    client = t.client(broker)
    answer = client.call("sub", topic="log/#", **{"from": {"cur": cur}})
    if answer["op"] == "ok":
        eq(answer["recovered"], False, "recovered")
        client.next("gap")
    else:
        one_of(answer["code"], ("bad_frame", "bad_filter", "history_gone"), "code")


@case
def subscriptions_have_a_limit(t):
    broker = t.broker(settings={"limits.subscriptions": 5})
    client = t.client(broker)
    for n in range(5):
        client.sub(f"many/{n}")
    is_error(client.call("sub", topic="many/5"), "limit_reached", 429)
    client.ok("unsub", topic="many/0")
    client.sub("many/5")


@case
def a_thousand_and_twentyfour_subscriptions_are_served(t):
    client = t.client(t.broker())
    client.send_many([{"op": "sub", "topic": f"many/{n}", "sub": n, "id": f"s{n}"} for n in range(1024)])
    for n in range(1024):
        has(client.answer(f"s{n}"), op="ok", sub=n)
    is_error(client.call("sub", topic="many/more"), "limit_reached", 429)
    for n in (0, 511, 1023):
        client.pub(f"many/{n}", n)
        has(client.next("msg"), data=n)
    if client.pending("msg"):
        fail("more than one copy")
