"""Topics with log: disk, and all else that outlives the process: every start finds its place again after a crash, what can
no longer be had is said, slow readers catch up from the disk, and one folder belongs to one broker."""
import os
import sqlite3
import stat
import subprocess
import threading
import time

from support.broker import SLOW, program, run_once
from support.check import eq, has, ok
from support.runner import case
from support.sluice_client import Client

DISK = {"filter": "d/#", "log": "disk", "max-count": 200000, "max-bytes": "1GiB"}
SHORT = {"filter": "short/#", "log": "disk", "max-count": 10}
RULES = {"topics": [DISK, SHORT]}


def start(t, data, config=None, **options):
    return t.broker(config=config or RULES, data=data, **options)


def crash(broker):
    """Its connections end first, so that nothing waits for them."""
    broker.kill()
    broker.stop()


def publish(client, topic, first, last, pad=""):
    """Payloads count up; returns the last position. Many in flight, each acknowledged."""
    numbers = range(first, last + 1)
    client.send_many([{"op": "pub", "id": f"p{n}", "topic": topic, "data": {"n": n, "pad": pad}} for n in numbers])
    answers = [has(client.answer(f"p{n}"), f"publish {n}", op="ok") for n in numbers]
    eq([a["offset"] for a in answers], list(range(answers[0]["offset"], answers[0]["offset"] + len(answers))), "offsets")
    return {"offset": answers[-1]["offset"], "epoch": answers[-1]["epoch"]}


def numbers_of(frames, topic=None):
    return [f["data"]["n"] for f in frames if f["op"] == "msg" and (topic is None or f["topic"] == topic)]


def read_to(client, topic, last, timeout=None):
    return client.until(lambda f: f["op"] == "msg" and f["topic"] == topic and f["data"]["n"] == last, timeout)


# --- after a crash ------------------------------------------------------------------------------------------------------


@case(timeout=60)
def every_start_finds_its_place_after_a_crash(t):
    data = t.folder()
    broker = start(t, data)
    client = t.client(broker)
    at = publish(client, "d/a", 1, 40)
    middle = int(time.time() * 1000)
    time.sleep(0.005)
    publish(client, "d/a", 41, 50)
    publish(client, "d/b", 1, 5)
    t.close_connections()
    crash(broker)
    broker = start(t, data)
    client = t.client(broker)
    for how, wanted in (("first", range(1, 51)), ({"last": 7}, range(44, 51)), ({"since": middle + 1}, range(41, 51)),
                        (at, range(41, 51)), ("latest", [50]), ("new", [])):
        answer = client.sub("d/a", **{"from": how})
        eq(answer["recovered"], True, str(how))
        eq(answer.get("epoch", at["epoch"]), at["epoch"], "epoch after a restart")
        client.barrier()
        time.sleep(0.05 * SLOW)
        client.barrier()
        eq(numbers_of(client.pending("msg")), list(wanted), f"from {how}")
        client.ok("unsub", sub=answer["sub"])
    items = client.ok("history", topic="d/a", limit=3, reverse=True)["items"]
    eq([i["data"]["n"] for i in items], [50, 49, 48], "history, newest first")
    eq(client.pub("d/a", {"n": 51})["offset"], 51, "the next offset")


@case(timeout=60)
def cursors_hold_over_restarts_and_other_numbers_of_workers(t):
    data = t.folder()
    broker = start(t, data, workers=2)
    reader, writer = t.client(broker), t.client(broker)
    cur = reader.sub("d/#", **{"from": "first"})["cur"]
    seen = set()
    next_number = 1
    for workers in (2, 1, 3):
        publish(writer, "d/x", next_number, next_number + 9)
        publish(writer, "d/y", next_number, next_number + 9)
        reader.until(lambda f, last=next_number + 9: f["op"] == "msg" and f["data"]["n"] == last)
        cur = reader.next("cur", timeout=5 * SLOW)["cur"]
        t.close_connections()
        crash(broker)
        broker = start(t, data, workers=workers)
        writer = t.client(broker)
        publish(writer, "d/y", next_number + 10, next_number + 14)
        reader = t.client(broker)
        answer = reader.sub("d/#", **{"from": {"cur": cur}})
        eq(answer["recovered"], True, f"with {workers} workers")
        frames = read_to(reader, "d/y", next_number + 14, 10 * SLOW)
        eq([f for f in frames if f["op"] == "gap"], [], "gaps")
        seen |= {(f["topic"], f["data"]["n"]) for f in frames if f["op"] == "msg"}
        ok({("d/y", n) for n in range(next_number + 10, next_number + 15)} <= seen, "messages since the cursor", seen)
        next_number += 20


@case(timeout=60)
def a_cursor_over_memory_and_disk_keeps_what_the_disk_has(t):
    data = t.folder()
    broker = start(t, data)
    reader, writer = t.client(broker), t.client(broker)
    cur = reader.sub("#", **{"from": "first"})["cur"]
    publish(writer, "d/x", 1, 10)
    publish(writer, "mem/x", 1, 10)
    t.close_connections()
    crash(broker)
    broker = start(t, data)
    reader = t.client(broker)
    answer = reader.sub("#", **{"from": {"cur": cur}})
    eq(answer["recovered"], False, "the memory log is gone")
    frames = read_to(reader, "d/x", 10)
    eq([f["reason"] for f in frames if f["op"] == "gap"], ["epoch"], "gaps")
    eq(numbers_of(frames, "d/x"), list(range(1, 11)), "what the disk has")


@case(timeout=60)
def dedup_expect_and_retained_values_outlive_a_crash(t):
    data = t.folder()
    broker = start(t, data)
    client = t.client(broker)
    first = client.pub("d/a", {"n": 1}, dedup="once")
    client.pub("d/r", {"n": 2}, retain=True)
    client.pub("mem/r", {"n": 3}, retain=True)
    client.pub("mem/gone", {"n": 4}, retain=True)
    client.ok("pub", topic="mem/gone", retain=True)
    last = client.pub("d/barrier", {"n": 0})
    ok(last["offset"], "stored")
    t.close_connections()
    crash(broker)
    broker = start(t, data)
    client = t.client(broker)
    again = client.pub("d/a", {"n": 1}, dedup="once")
    eq((again["offset"], again["epoch"]), (first["offset"], first["epoch"]), "the first answer")
    head = {"offset": first["offset"], "epoch": first["epoch"]}
    has(client.call("pub", topic="d/a", data=5, expect={"offset": 7, "epoch": head["epoch"]}), op="err",
        code="expect_failed")
    eq(client.pub("d/a", {"n": 5}, expect=head)["offset"], 2, "expected position")
    answer = client.sub("#", **{"from": "latest"})
    client.barrier()
    time.sleep(0.1 * SLOW)
    client.barrier()
    values = {f["topic"]: f for f in client.pending("msg")}
    eq(sorted(values), ["d/a", "d/barrier", "d/r", "mem/r"], "values that are there")
    eq(values["mem/r"]["data"], {"n": 3}, "retained, log in memory")
    eq(values["mem/r"].get("retained"), True, "marked")
    eq(values["d/r"]["data"], {"n": 2}, "retained, log on disk")
    client.ok("unsub", sub=answer["sub"])


@case(timeout=60)
def what_expires_while_the_broker_is_down_stays_away(t):
    data = t.folder()
    broker = start(t, data)
    client = t.client(broker)
    client.pub("d/ttl", {"n": 1}, ttl_s=1)
    client.pub("d/ttl", {"n": 2})
    client.pub("d/ttl", {"n": 3}, ttl_s=1, retain=True)
    t.close_connections()
    crash(broker)
    time.sleep(1.1)
    broker = start(t, data)
    client = t.client(broker)
    client.sub("d/ttl", **{"from": "first"})
    client.barrier()
    time.sleep(0.1 * SLOW)
    client.barrier()
    eq(numbers_of(client.pending("msg")), [2], "messages")
    eq(client.pub("d/ttl", {"n": 4})["offset"], 4, "places of the expired ones are kept")


# --- what can no longer be had ------------------------------------------------------------------------------------------


@case(timeout=60)
def a_trimmed_past_and_another_epoch_are_said(t):
    data = t.folder()
    broker = start(t, data)
    client = t.client(broker)
    old = publish(client, "short/a", 1, 5)
    publish(client, "short/a", 6, 40)
    t.close_connections()
    crash(broker)
    broker = start(t, data)
    client = t.client(broker)
    eq(client.sub("short/a", **{"from": old})["recovered"], False, "trimmed")
    has(client.next("gap"), reason="trimmed", lost=34)
    eq(client.next("msg")["data"]["n"], 40, "then as latest")
    client.barrier()
    eq(client.pending(), [], "one gap, one message")
    ok(client.ok("history", topic="short/a", limit=100)["items"][0]["data"]["n"] == 31, "ten are kept")
    t.close_connections()
    broker.stop()
    broker = start(t, t.folder())
    client = t.client(broker)
    publish(client, "short/a", 1, 8)
    eq(client.sub("short/a", **{"from": old})["recovered"], False, "another epoch")
    has(client.next("gap"), reason="epoch")
    eq(client.next("msg")["data"]["n"], 8, "then as latest")


# --- long replays -------------------------------------------------------------------------------------------------------


@case(timeout=120)
def thirty_thousand_messages_are_replayed_while_traffic_goes_on(t):
    broker = start(t, t.folder(), workers=2)
    writer = t.client(broker, timeout=30 * SLOW)
    for first in range(1, 30001, 1000):
        publish(writer, f"d/{first // 1000 % 3}", first, first + 999, pad="x" * 100)
    stop = threading.Event()
    counts = {"n": 30000}

    def go_on():
        live = Client(broker.public, timeout=30 * SLOW)
        while not stop.is_set():
            counts["n"] += 1
            live.pub("d/live", {"n": counts["n"]})
        live.pub("d/live", {"n": -1})
        live.abort()
    traffic = threading.Thread(target=go_on)
    traffic.start()
    wild, credit = t.client(broker, timeout=60 * SLOW), t.client(broker, timeout=60 * SLOW)
    wild.sub("d/#", **{"from": "first"})
    sub = credit.sub("d/1", credit=500, **{"from": "first"})["sub"]
    got = []
    while len(got) < 10000:
        got += numbers_of(credit.msgs(500))
        eq(credit.pending("msg"), [], "messages beyond the credit")
        credit.send("flow", sub=sub, credit=500)
    eq(got, [n for n in range(1, 30001) if (n - 1) // 1000 % 3 == 1], "by credit")
    stop.set()
    traffic.join()
    frames = wild.until(lambda f: f["op"] == "msg" and f["topic"] == "d/live" and f["data"]["n"] == -1)
    eq([f for f in frames if f["op"] == "gap"], [], "gaps")
    for topic in ("d/0", "d/1", "d/2"):
        eq(numbers_of(frames, topic), [n for n in range(1, 30001) if f"d/{(n - 1) // 1000 % 3}" == topic], topic)
    eq(numbers_of(frames, "d/live"), list(range(30001, counts["n"] + 1)) + [-1], "live ones")


@case(timeout=120)
def a_reader_that_stops_catches_up_from_disk_and_costs_little_memory(t):
    broker = start(t, t.folder())
    reader, writer = t.client(broker, timeout=60 * SLOW), t.client(broker, timeout=60 * SLOW)
    reader.sub("d/#")
    publish(writer, "d/a", 1, 100)
    before = broker.rss()
    for first in range(101, 20101, 1000):
        publish(writer, "d/a", first, first + 999, pad="y" * 1000)
    grown = broker.rss() - before
    ok(grown < 32 << 20 or SLOW > 1, f"20 MB were published while the reader stood still: {grown >> 20} MiB more memory")
    frames = read_to(reader, "d/a", 20100)
    eq([f for f in frames if f["op"] == "gap"], [], "gaps")
    eq(numbers_of(frames), list(range(1, 20101)), "all, in order")


@case(timeout=180)
def a_reader_that_is_cut_off_every_100_ms_misses_none_of_10000(t):
    broker = start(t, t.folder(), workers=2)
    total = 10000

    def go():
        writer = Client(broker.public, timeout=30 * SLOW)
        for n in range(1, total + 1, 50):
            publish(writer, "d/a", n, n + 49)
            time.sleep(0.005)
        writer.abort()
    writer = threading.Thread(target=go)
    writer.start()
    got, position, cuts = [], "first", 0
    while not got or got[-1] != total:
        reader = t.client(broker, timeout=20 * SLOW)
        answer = reader.sub("d/a", **{"from": position})
        eq(answer["recovered"], True, "recovered")
        until = time.monotonic() + 0.1
        while time.monotonic() < until and (not got or got[-1] != total):
            try:
                frame = reader.next(None, timeout=max(0.01, until - time.monotonic()))
            except AssertionError:
                break
            ok(frame["op"] == "msg", "only messages", frame)
            got.append(frame["data"]["n"])
            position = {"offset": frame["offset"], "epoch": frame["epoch"]}
        reader.abort()
        cuts += 1
    writer.join()
    print(f"cut off {cuts} times")
    ok(cuts >= 5, "it was hardly ever cut off", cuts)
    eq(got, list(range(1, total + 1)), "each once, in order")


# --- rules --------------------------------------------------------------------------------------------------------------


@case(timeout=60)
def acknowledgements_are_as_good_as_the_log(t):
    broker = start(t, t.folder())
    client = t.client(broker)
    for level in (None, "stored", "accepted"):
        answer = client.pub("d/a", {"n": 1}, **({"ack": level} if level else {}))
        ok(answer["offset"] and answer["epoch"], "a position", answer)
    client.send("pub", id="none", topic="d/a", data=1, ack="none")
    client.barrier()
    has(client.call("pub", topic="mem/a", data=1, ack="stored"), op="err", code="unsupported")
    has(client.call("pub", topic="d/a", data=1, ack="replicated"), op="err", code="unsupported")


@case(timeout=60)
def a_reload_that_moves_topics_to_disk_loses_nothing_live(t):
    data = t.folder()
    memory = {"topics": [{"filter": "move/#", "log": "memory"}]}
    broker = start(t, data, config=memory)
    exact, wild, writer = t.client(broker), t.client(broker), t.client(broker)
    slow = t.client(broker)
    exact.sub("move/a")
    wild.sub("move/#")
    sub = slow.sub("move/a", credit=2)["sub"]
    publish(writer, "move/a", 1, 5)
    broker.write_config({"topics": [{"filter": "move/#", "log": "disk"}]})
    broker.reload()
    deadline = time.monotonic() + 5 * SLOW
    while writer.call("pub", topic="move/probe", data={"n": 0}, ack="stored")["op"] == "err":
        ok(time.monotonic() < deadline, "the reload did not come into force")
        time.sleep(0.02)
    publish(writer, "move/a", 6, 10)
    eq(numbers_of(read_to(exact, "move/a", 10)), list(range(1, 11)), "exact")
    eq(numbers_of(read_to(wild, "move/a", 10), "move/a"), list(range(1, 11)), "wildcard")
    slow.send("flow", sub=sub, credit=100)
    eq(numbers_of(read_to(slow, "move/a", 10)), list(range(1, 11)), "one that was behind in memory")
    again = t.client(broker)
    again.sub("move/#", **{"from": "first"})
    eq(numbers_of(read_to(again, "move/a", 10), "move/a"), list(range(6, 11)), "from first: what the disk has")


# --- the folder ---------------------------------------------------------------------------------------------------------


@case(timeout=30)
def one_folder_belongs_to_one_broker(t):
    data = t.folder() / "data"
    broker = start(t, data)
    t.client(broker).pub("d/a", {"n": 1})
    code, out, error, seconds = run_once("--dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", str(data))
    ok(code not in (0, None), "the second one stops", code)
    ok(str(data) in error and "another" in error, "it says why", error)
    eq(out, "", "never ready")
    ok(seconds < 2 * SLOW, "at once", seconds)
    eq(t.client(broker).pub("d/a", {"n": 2})["offset"], 2, "the first goes on")
    for name in os.listdir(data):
        mode = stat.S_IMODE(os.stat(data / name).st_mode)
        eq(oct(mode), oct(0o600), f"mode of {name}")
    eq(oct(stat.S_IMODE(os.stat(data).st_mode)), oct(0o700), "mode of the folder")


@case(timeout=30)
def the_folder_is_chosen_by_where_it_runs(t):
    for extra, wanted in ((["--dev"], "sluice-data"), ([], "state/sluice"), ([], "svc")):
        home = t.folder()
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
        if wanted == "svc":
            env["STATE_DIRECTORY"] = str(home / "svc")
        if os.geteuid() == 0 and wanted == "state/sluice":
            continue  # root's is a folder of the system, which a test leaves alone
        process = subprocess.Popen([program(), *extra, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], cwd=home,
                                   env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = process.stdout.readline().decode()
        process.terminate()
        _, log = process.communicate(timeout=20 * SLOW)
        ok(line.startswith("ready "), "ready", log.decode())
        ok((home / wanted / "sluice.db").exists(), f"{wanted}/sluice.db", sorted(p.name for p in home.iterdir()))


@case(timeout=60)
def files_that_are_not_ours_stop_the_start_and_stay_untouched(t):
    for name, content, words in (("text", b"this is no database at all, but long enough to be one" * 40, "not"),
                                 ("other", None, "")):
        data = t.folder()
        path = data / "sluice.db"
        if content is None:
            other = sqlite3.connect(path)
            other.execute("create table theirs (x)")
            other.execute("insert into theirs values (1)")
            other.commit()
            other.close()
        else:
            path.write_bytes(content)
        before = path.read_bytes()
        code, _, error, _ = run_once("--dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", str(data))
        ok(code not in (0, None), f"{name}: it stops", error)
        ok(str(path) in error and words in error and len(error.strip().splitlines()[-1]) < 400, f"{name}: it says why",
           error)
        eq(path.read_bytes(), before, f"{name}: untouched")
