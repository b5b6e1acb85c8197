"""Request and reply, history, presence."""
import json
import time

from support.broker import SLOW
from support.check import between, eq, has, is_error, lacks, ok
from support.runner import case, table

KINDS = [("json asks json", "json", "json"), ("json asks cbor", "json", "cbor"), ("cbor asks json", "cbor", "json"),
         ("cbor asks cbor", "cbor", "cbor")]


@table(KINDS)
def a_request_is_answered(t, broker, asker, answerer):
    ask, serve = t.client(broker, kind=asker), t.client(broker, kind=answerer)
    topic = f"rpc/{asker}/{answerer}"
    serve.sub(topic)
    ask.send("req", id="r1", topic=topic, data={"add": [1, 2]}, headers={"trace": "x"})
    got = has(serve.next("msg"), topic=topic, data={"add": [1, 2]}, headers={"trace": "x"}, reply=lambda v: isinstance(v, str) and v)
    has(serve.call("pub", topic=got["reply"], data={"sum": 3}), op="ok")
    has(ask.answer("r1"), op="ok", data={"sum": 3})
    serve.call("pub", topic=got["reply"], data={"sum": "late"})
    ask.barrier()
    eq(ask.pending(), [], "frames after the answer")


@case
def a_request_nobody_serves_is_refused_at_once(t):
    client = t.client(t.broker(workers=2))
    started = time.monotonic()
    has(is_error(client.call("req", topic="rpc/nobody", data=1), "no_responder", 503), retry=True)
    between(time.monotonic() - started, 0, 1 * SLOW, "seconds")
    client.sub("rpc/gone")
    client.ok("unsub", topic="rpc/gone")
    is_error(client.call("req", topic="rpc/gone", data=1), "no_responder", 503)


@case
def a_request_that_is_not_answered_times_out(t):
    broker = t.broker()
    ask, serve = t.client(broker), t.client(broker)
    serve.sub("rpc/slow")
    started = time.monotonic()
    is_error(ask.call("req", topic="rpc/slow", data=1, timeout_ms=300), "req_timeout", 504)
    between(time.monotonic() - started, 0.25, 2 * SLOW, "seconds")
    reply = serve.next("msg")["reply"]
    serve.call("pub", topic=reply, data=1)
    ask.barrier()
    eq(ask.pending(), [], "frames after the time-out")


@case
def answers_go_to_the_right_request(t):
    broker = t.broker(workers=2)
    asks, serve = [t.client(broker) for _ in range(4)], t.client(broker)
    serve.sub("rpc/echo")
    for c, ask in enumerate(asks):
        ask.send_many([{"op": "req", "id": f"{c}.{n}", "topic": "rpc/echo", "data": [c, n]} for n in range(25)])
    got = serve.msgs(100)
    for m in reversed(got):
        serve.send("pub", topic=m["reply"], data={"answer": m["data"]})
    for c, ask in enumerate(asks):
        for n in range(25):
            has(ask.answer(f"{c}.{n}"), op="ok", data={"answer": [c, n]})


@case
def the_first_of_many_answers_counts(t):
    broker = t.broker()
    ask, serves = t.client(broker), [t.client(broker) for _ in range(3)]
    for serve in serves:
        serve.sub("rpc/many")
    ask.send("req", id=1, topic="rpc/many", data="?")
    for n, serve in enumerate(serves):
        serve.call("pub", topic=serve.next("msg")["reply"], data=n)
    has(ask.answer(1), op="ok", data=0)
    ask.barrier()
    eq(ask.pending(), [], "a second answer")


@case
def payloads_of_answers_are_forwarded_as_sent(t):
    broker = t.broker()
    ask, serve = t.client(broker), t.client(broker)
    serve.sub("rpc/exact")
    ask.send_raw('{"op":"req","id":1,"topic":"rpc/exact","data":{"z":12345678901234567890,"a":1.10}}')
    got = serve.next("msg")
    ok(b'{"z":12345678901234567890,"a":1.10}' in serve.raw_last, "request", serve.raw_last)
    serve.send_raw('{"op":"pub","topic":%s,"data":{"z":98765432109876543210,"a":"\\u00e9"}}' % json.dumps(got["reply"]))
    ask.answer(1)
    ok(b'{"z":98765432109876543210,"a":"\\u00e9"}' in ask.raw_last, "answer", ask.raw_last)


@case
def requests_in_flight_have_a_limit(t):
    broker = t.broker(settings={"limits.requests-in-flight": 5})
    ask, serve = t.client(broker), t.client(broker)
    serve.sub("rpc/held")
    ask.send_many([{"op": "req", "id": f"h{n}", "topic": "rpc/held", "data": n, "timeout_ms": 5000} for n in range(6)])
    is_error(ask.answer("h5"), "limit_reached", 429)
    for m in serve.msgs(5):
        serve.pub(m["reply"], "done")
    for n in range(5):
        has(ask.answer(f"h{n}"), op="ok", data="done")


@case
def a_requester_that_leaves_is_forgotten(t):
    broker = t.broker(workers=2)
    serve = t.client(broker)
    serve.sub("rpc/left")
    for _ in range(10):
        ask = t.client(broker)
        ask.send("req", id=1, topic="rpc/left", data=1, timeout_ms=60000)
        reply = serve.next("msg")["reply"]
        ask.abort()
        serve.call("pub", topic=reply, data=1)
    has(serve.call("ping"), op="pong")


# History ----------------------------------------------------------------------------------------------------------

def fill(t, broker, topic, count):
    writer = t.client(broker)
    writer.send_many([{"op": "pub", "id": f"f{n}", "topic": topic, "data": n, "headers": {"n": str(n)}} for n in range(1, count + 1)])
    return [writer.answer(f"f{n}") for n in range(1, count + 1)]


@table([("json", "json"), ("cbor", "cbor")])
def history_gives_what_the_log_holds(t, broker, kind):
    topic = f"hist/{kind}"
    at = fill(t, broker, topic, 10)
    client = t.client(broker, kind=kind)
    answer = client.ok("history", topic=topic, limit=100, **{"from": "first"})
    eq([i["data"] for i in answer["items"]], list(range(1, 11)), "data")
    eq([i["offset"] for i in answer["items"]], [a["offset"] for a in at], "offsets")
    has(answer["items"][0], "item", epoch=at[0]["epoch"], headers={"n": "1"}, ts=lambda v: v > 1_600_000_000_000)
    lacks(answer, "next")


HISTORY = [("first", lambda e: {"from": "first"}, list(range(1, 11))), ("last 3", lambda e: {"from": {"last": 3}}, [8, 9, 10]),
           ("latest", lambda e: {"from": "latest"}, [10]),
           ("after 4", lambda e: {"from": {"offset": 4, "epoch": e}}, [5, 6, 7, 8, 9, 10]),
           ("reverse", lambda e: {"reverse": True}, list(range(10, 0, -1))),
           ("reverse, limit 3", lambda e: {"reverse": True, "limit": 3}, [10, 9, 8]),
           ("limit 2 after 4", lambda e: {"from": {"offset": 4, "epoch": e}, "limit": 2}, [5, 6])]


@table(HISTORY)
def history_from(t, broker, fields, want):
    topic = f"hist/{time.monotonic_ns()}"
    epoch = fill(t, broker, topic, 10)[0]["epoch"]
    answer = t.client(broker).ok("history", topic=topic, **fields(epoch))
    eq([i["data"] for i in answer["items"]], want, "items")


@table([("forward", False), ("reverse", True)])
def history_is_paged(t, broker, reverse):
    topic = f"hist/{reverse}"
    fill(t, broker, topic, 100)
    client = t.client(broker)
    got, start = [], ("new" if reverse else "first")
    for _ in range(50):
        answer = client.ok("history", topic=topic, limit=7, reverse=reverse, **{"from": start})
        ok(len(answer["items"]) <= 7, "more than the limit")
        got += [i["data"] for i in answer["items"]]
        if "next" not in answer:
            break
        start = answer["next"]
    eq(got, list(range(100, 0, -1)) if reverse else list(range(1, 101)), "pages together")


@case
def history_of_what_is_gone_is_410(t):
    broker = t.broker(config={"topics": [{"filter": "hist/#", "max-count": 10}]})
    at = fill(t, broker, "hist/a", 30)
    client = t.client(broker)
    is_error(client.call("history", topic="hist/a", **{"from": {"offset": 3, "epoch": "zz9"}}), "history_gone", 410)
    is_error(client.call("history", topic="hist/a", **{"from": {"offset": 3, "epoch": at[0]["epoch"]}}), "history_gone", 410)


@case
def history_of_nothing_is_empty_and_of_no_log_unsupported(t):
    broker = t.broker(config={"topics": [{"filter": "nolog/#", "log": "none"}]})
    client = t.client(broker)
    eq(client.ok("history", topic="hist/never")["items"], [], "items")
    is_error(client.call("history", topic="nolog/a"), "unsupported", 422)


@case
def a_large_history_comes_in_pages_that_fit(t):
    """100 messages of 100 KB: no answer may be larger than what a client can take at once."""
    broker = t.broker(config={"topics": [{"filter": "hist/#", "max-count": 1000, "max-bytes": "64MiB"}]})
    writer = t.client(broker)
    for n in range(100):
        writer.pub("hist/big", [n, "x" * 100000])
    client = t.client(broker)
    got, start = [], "first"
    for _ in range(200):
        answer = client.ok("history", topic="hist/big", limit=1000, **{"from": start})
        ok(len(client.raw_last) < 4 << 20, f"an answer of {len(client.raw_last)} bytes")
        got += [i["data"][0] for i in answer["items"]]
        if "next" not in answer:
            break
        start = answer["next"]
    eq(got, list(range(100)), "all pages")


# Presence ---------------------------------------------------------------------------------------------------------

GRACE = {"presence.grace": "300ms"}


@table([("json, one worker", "json", 1), ("cbor, two workers", "cbor", 2)], broker={"settings": GRACE, "workers": 2})
def presence_lists_who_is_subscribed(t, broker, kind, _workers):
    topic = f"room/{kind}"
    clients = [t.client(broker, kind=kind) for _ in range(5)]
    for client in clients[:4]:
        client.sub(topic)
    answer = clients[4].ok("presence", topic=topic)
    eq(answer["count"], 4, "count")
    eq({m["conn"] for m in answer["members"]}, {c.hello["conn"] for c in clients[:4]}, "members")
    seen, after = [], None
    for _ in range(10):
        page = clients[4].ok("presence", topic=topic, limit=3, **({"after": after} if after else {}))
        ok(len(page["members"]) <= 3, "more than the limit", page)
        seen += [m["conn"] for m in page["members"]]
        after = page.get("next")
        if not after:
            break
    eq(sorted(seen), sorted(c.hello["conn"] for c in clients[:4]), "members over pages")
    clients[0].ok("unsub", topic=topic)
    deadline = time.monotonic() + 5 * SLOW
    while clients[4].ok("presence", topic=topic)["count"] != 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    eq(clients[4].ok("presence", topic=topic)["count"], 3, "count after a leave")


@case
def joins_and_leaves_are_reported_to_those_who_ask(t):
    broker = t.broker(settings=GRACE, workers=2)
    watcher, plain, guest = t.client(broker), t.client(broker), t.client(broker)
    watcher.sub("room/a", sub=1, presence=True)
    plain.sub("room/a")
    guest.sub("room/a")
    watcher.next("join", conn=plain.hello["conn"])
    has(watcher.next("join", conn=guest.hello["conn"]), topic="room/a")
    left = time.monotonic()
    guest.abort()
    has(watcher.next("leave", conn=guest.hello["conn"]), topic="room/a")
    between(time.monotonic() - left, 0.2, 5 * SLOW, "seconds until the leave: it waits the grace")
    plain.barrier()
    eq([f for f in plain.pending() if f["op"] in ("join", "leave")], [], "told though it did not ask")
    watcher.barrier()
    eq([f for f in watcher.pending() if f["op"] == "leave"], [], "leaves of those who stayed")


@case
def a_subscription_given_up_and_taken_again_does_not_flap(t):
    broker = t.broker(settings={"presence.grace": "1s"})
    watcher, guest = t.client(broker), t.client(broker)
    watcher.sub("room/b", presence=True)
    guest.sub("room/b")
    watcher.next("join", conn=guest.hello["conn"])
    for _ in range(5):
        guest.ok("unsub", topic="room/b")
        guest.sub("room/b")
    time.sleep(1.6)
    watcher.barrier()
    mine = [f for f in watcher.pending() if f["op"] in ("join", "leave") and f["conn"] == guest.hello["conn"]]
    eq(mine, [], "joins and leaves")


@case
def presence_of_an_empty_topic_is_zero(t):
    client = t.client(t.broker())
    has(client.ok("presence", topic="room/empty"), count=0, members=[])


@case
def presence_off_by_rule_is_unsupported(t):
    client = t.client(t.broker(config={"topics": [{"filter": "quiet/#", "presence": False}]}))
    is_error(client.call("presence", topic="quiet/a"), "unsupported", 422)
