"""`sluice admin` on the folder of the real broker: backups while it writes, what a restored one does to readers, checks,
export and import over the life of a broker."""
import base64
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading
import time

from integration.test_cli import sluice
from support.broker import SLOW, environment
from support.check import eq, fail, has, ok
from support.runner import case

DISK = {"topics": [{"filter": "d/#", "log": "disk", "max-count": 100000}]}
FILES = ("sluice.db", "sluice.db-wal", "sluice.db-shm")


def admin(*args, stdin=None, env=None, cwd=None, timeout=30):
    done = subprocess.run([sluice(), "admin", *map(str, args)], input=stdin, capture_output=True, text=True, cwd=cwd,
                          timeout=timeout * SLOW, env=environment(env))
    ok("Sanitizer" not in done.stderr, "no finding of a sanitizer", done.stderr)
    return done


def works(*args, **options):
    done = admin(*args, **options)
    eq(done.returncode, 0, f"exit code of {args}: {done.stderr}")
    return done


def refused(*args, code=5, word, **options):
    done = admin(*args, **options)
    eq(done.returncode, code, f"exit code of {args}: {done.stdout}{done.stderr}")
    ok(word in done.stderr, f"says '{word}'", done.stderr)
    return done


def is_sound(path):
    ok("is sound" in works("check", *path).stdout, "sound")


def start(t, data, **options):
    return t.broker(config=DISK, data=data, **options)


def end(t, broker):
    t.close_connections()
    broker.stop()


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def put_back(data, backup):
    """As the manual page says."""
    for name in FILES:
        (data / name).unlink(missing_ok=True)
    shutil.copyfile(backup, data / "sluice.db")


# --- backup -------------------------------------------------------------------------------------------------------------


@case(timeout=90)
def a_backup_under_load_is_sound_and_restored_it_begins_new_epochs(t):
    data, place = t.folder() / "data", t.folder()
    broker = start(t, data)
    writer, reader = t.client(broker), t.client(broker)
    cur = reader.sub("d/#", **{"from": "first"})["cur"]
    first = writer.pub("d/load", {"n": 0})
    writer.pub("d/kept", "value", retain=True)
    stop, sent = threading.Event(), [0]

    def load():
        while not stop.is_set():
            writer.send_many([{"op": "pub", "id": f"p{sent[0] + i}", "topic": "d/load", "data": {"n": sent[0] + i}}
                              for i in range(1, 101)])
            sent[0] += 100
            writer.answer(f"p{sent[0]}", timeout=20 * SLOW)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        done = works("backup", "--data", data, place / "copy.db")
        works("backup", "--data", data, "--force", place / "copy.db")
    finally:
        stop.set()
        thread.join()
    ok("topics" in done.stdout and "messages" in done.stdout, "figures", done.stdout)
    eq(stat.S_IMODE((place / "copy.db").stat().st_mode), 0o600, "mode")
    eq(sorted(p.name for p in place.iterdir()), ["copy.db"], "nothing beside it")
    is_sound([place / "copy.db"])
    is_sound(["--data", data])
    last = writer.pub("d/load", {"n": sent[0] + 1})
    end(t, broker)

    put_back(data, place / "copy.db")
    broker = start(t, data)
    client = t.client(broker)
    answer = client.sub("d/load", **{"from": {"epoch": last["epoch"], "offset": last["offset"]}})
    eq(answer["recovered"], False, "a position after the backup")
    ok(answer["epoch"] != first["epoch"], "a new epoch")
    eq(client.sub("d/#", **{"from": {"cur": cur}})["recovered"], False, "an old cursor")
    items = client.ok("history", topic="d/load", limit=1, reverse=True)["items"]
    head = items[0]["offset"]
    eq(items[0]["data"]["n"], head - 1, "what the backup holds")
    after = client.pub("d/load", {"n": -1})
    eq((after["offset"], after["epoch"]), (head + 1, answer["epoch"]), "it goes on in the new epoch")
    end(t, broker)
    ok("restored" in broker.final_log, "the log says so", broker.final_log)
    broker = start(t, data)
    eq(t.client(broker).sub("d/load", **{"from": "new"})["epoch"], answer["epoch"], "only once")
    end(t, broker)
    is_sound(["--data", data])


@case(timeout=60)
def a_plain_copy_put_back_by_hand_begins_new_epochs(t):
    data = t.folder() / "data"
    broker = start(t, data)
    first = t.client(broker).pub("d/a", 1)
    end(t, broker)
    shutil.copy2(data / "sluice.db", data / "copy")
    broker = start(t, data)
    second = t.client(broker).pub("d/a", 2)
    eq(second["epoch"], first["epoch"], "an ordinary restart")
    end(t, broker)
    put_back(data, data / "copy")
    broker = start(t, data)
    client = t.client(broker)
    third = client.pub("d/a", "another")
    eq(third["offset"], second["offset"], "the offset comes again")
    ok(third["epoch"] != second["epoch"], "but under another epoch")
    eq(client.sub("d/a", **{"from": {"epoch": second["epoch"], "offset": second["offset"]}})["recovered"], False, "recovered")


@case(timeout=60)
def a_backup_put_back_beside_the_wal_of_a_crash_is_refused(t):
    data, place = t.folder() / "data", t.folder()
    broker = start(t, data)
    client = t.client(broker)
    client.pub("d/a", 1)
    works("backup", "--data", data, place / "copy.db")
    client.pub("d/a", 2)
    t.close_connections()
    broker.kill()
    broker.stop()
    shutil.copyfile(place / "copy.db", data / "sluice.db")
    before = {name: (data / name).read_bytes() for name in FILES}
    broker = start(t, data, wait=False)
    code = broker.wait_exit(10 * SLOW)
    broker.exit_expected = code
    ok(code not in (0, None), "the start is refused", code)
    ok("holds changes to another file" in broker.log_text(), "says why", broker.log_text())
    eq({name: (data / name).read_bytes() for name in FILES}, before, "files")


# --- check --------------------------------------------------------------------------------------------------------------


@case(timeout=60)
def check_finds_what_was_broken_by_hand(t):
    data = t.folder() / "data"
    broker = start(t, data)
    client = t.client(broker)
    for n in range(5):
        client.pub("d/a", n)
    is_sound(["--data", data])
    end(t, broker)
    with sqlite3.connect(data / "sluice.db") as db:
        db.execute("DELETE FROM message WHERE offset = 3")
    db.close()
    done = admin("check", "--data", data)
    eq(done.returncode, 1, "exit code")
    ok("d/a" in done.stdout and "offset does not follow" in done.stdout, "the finding", done.stdout)
    ok("put a backup back" in done.stderr, "what to do", done.stderr)
    with open(data / "sluice.db", "r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\x5a" * 4096)
    eq(admin("check", "--data", data).returncode, 1, "exit code for a damaged page")


# --- export and import --------------------------------------------------------------------------------------------------


@case(timeout=60)
def an_export_moves_everything_to_another_folder_and_readers_go_on(t):
    old, new = t.folder() / "data", t.folder() / "data"
    broker = start(t, old)
    client = t.client(broker)
    big = '{"n":12345678901234567890,"f":1.10}'
    client.send_raw('{"op":"pub","id":"b","topic":"d/kinds","data":%s}' % big)
    has(client.answer("b"), op="ok")
    client.pub("d/kinds", "text with \u0000 and \U0001f600", key="k", headers={"a": "b"})
    client.ok("pub", topic="d/kinds", data64=base64.b64encode(b"\x00\xff").decode())
    client.pub("d/kinds", "", retain=True)
    client.pub("mem/kept", [1], retain=True)
    cur = client.sub("d/#", **{"from": "first"})["cur"]
    at = client.pub("d/kinds", "last")
    end(t, broker)
    text = works("export", "--data", old).stdout
    ok(f'"data":{big}' in text, "the number's digits", text)
    has(lines_of(text)[0], type="sluice-export", version=1)
    eq([(m["offset"], m["epoch"]) for m in lines_of(text) if m["type"] == "message"],
       [(n, int(at["epoch"], 36)) for n in range(1, 6)], "positions")
    eq({m["topic"] for m in lines_of(text) if m["type"] in ("retained", "mirror")}, {"d/kinds", "mem/kept"}, "retained")

    works("import", "--data", new, stdin=text)
    eq(works("export", "--data", new).stdout, text, "exported again")
    is_sound(["--data", new])
    broker = start(t, new)
    client = t.client(broker)
    eq(client.sub("d/#", **{"from": {"cur": cur}})["recovered"], True, "the cursor")
    answer = client.sub("d/kinds", **{"from": {"epoch": at["epoch"], "offset": at["offset"] - 1}})
    eq(answer["recovered"], True, "the position")
    items = client.ok("history", topic="d/kinds")["items"]
    eq(items[1]["data"], "text with \u0000 and \U0001f600", "text")
    eq((items[1]["key"], items[1]["headers"]), ("k", {"a": "b"}), "what stands beside it")
    eq(base64.b64decode(items[2]["data64"]), b"\x00\xff", "bytes")
    eq(items[3]["data"], "", "an empty text")
    eq(client.pub("d/kinds", 6)["offset"], 6, "the next offset")
    eq(client.sub("mem/kept", **{"from": "latest"})["op"], "ok", "the retained value")
    has(client.next("msg", topic="mem/kept"), data=[1])


@case(timeout=60)
def an_import_wants_an_empty_folder_and_no_broker(t):
    data, empty = t.folder() / "data", t.folder() / "made" / "by" / "it"
    broker = start(t, data)
    t.client(broker).pub("d/a", 1)
    text = works("export", "--data", data).stdout
    refused("import", "--data", data, stdin=text, word=f"process {broker.pid}")
    end(t, broker)
    refused("import", "--data", data, stdin=text, word="is there already")
    refused("import", "--data", empty, stdin=text.replace('"offset":1', '"offset":7'), word="line 3: its seq or offset")
    refused("import", "--data", empty, stdin=text[:-20], word="cut off")
    eq(os.listdir(empty), ["lock"], "nothing is left")
    works("import", "--data", empty, stdin=text)
    eq(stat.S_IMODE((empty / "sluice.db").stat().st_mode), 0o600, "mode")


@case(timeout=60)
def a_damaged_file_gives_what_can_be_read(t):
    data, new = t.folder() / "data", t.folder() / "data"
    broker = start(t, data)
    client = t.client(broker)
    client.send_many([{"op": "pub", "id": f"p{n}", "topic": "d/a", "data": "x" * 100} for n in range(1000)])
    at = client.answer("p999")
    end(t, broker)
    with open(data / "sluice.db", "r+b") as file:
        file.seek(os.path.getsize(data / "sluice.db") // 4096 // 2 * 4096)
        file.write(b"\x5a" * 4096)
    broker = start(t, data, wait=False)
    broker.exit_expected = broker.wait_exit(10 * SLOW)
    ok(broker.exit_expected not in (0, None), "the start is refused", broker.exit_expected)
    ok("is damaged" in broker.log_text() and "sluice admin" in broker.log_text(), "says why", broker.log_text())
    done = works("export", "--data", data, t.folder() / "out")
    ok("cannot be read" in done.stderr and "not whole" in done.stderr, "says what is missing", done.stderr)
    text = works("export", "--data", data).stdout
    works("import", "--data", new, stdin=text)
    is_sound(["--data", new])
    broker = start(t, new)
    client = t.client(broker)
    answer = client.sub("d/a", **{"from": {"epoch": at["epoch"], "offset": at["offset"]}})
    eq(answer["recovered"], False, "other messages stand under the old offsets")


@case(timeout=30)
def a_filter_exports_its_topics_only(t):
    data = t.folder() / "data"
    broker = start(t, data)
    client = t.client(broker)
    for topic in ("d/a/x", "d/a/y", "d/b/x"):
        client.pub(topic, topic)
    done = works("export", "--data", data, "--filter", "d/+/x")
    eq({m["topic"] for m in lines_of(done.stdout) if "topic" in m}, {"d/a/x", "d/b/x"}, "topics")
    refused("export", "--data", data, "--filter", "d/#/x", word="is no filter")


# --- the command line ---------------------------------------------------------------------------------------------------


@case(timeout=30)
def the_folder_is_found_where_the_broker_puts_it(t):
    base, home = t.folder(), t.folder()
    env = {"STATE_DIRECTORY": str(base / "state"), "XDG_STATE_HOME": str(home)}
    broker = start(t, base / "state")
    t.client(broker).pub("d/a", 1)
    done = works("check", env=env, cwd=base)
    ok(f"the data folder is {base}/state" in done.stderr, "says which", done.stderr)
    ok("the data folder" not in works("check", "-q", env=env, cwd=base).stderr, "not with -q")
    end(t, broker)
    (base / "state").rename(base / "sluice-data")
    done = works("check", env=env, cwd=base)
    ok("the data folder is ./sluice-data" in done.stderr, "says which", done.stderr)


@case(timeout=30)
def mistakes_are_said_with_the_right_code(t):
    data, place = t.folder() / "data", t.folder()
    end(t, start(t, data))
    refused(code=2, word="Usage: sluice admin COMMAND")
    refused("chekc", code=2, word="did you mean 'check'?")
    refused("backup", "--data", data, code=2, word="the file to write is missing")
    refused("backup", "--data", data, "a", "b", code=2, word="one file at a time")
    refused("check", "--data", data, "a", code=2, word="one folder or one file")
    refused("export", "--dta", data, code=2, word="did you mean --data?")
    refused("backup", "--data", place / "none", place / "x", word="cannot be read")
    refused("check", place, word="cannot be read")
    refused("import", "--data", place / "new", place / "missing.jsonl", word="cannot be read")
    (place / "there").write_text("precious")
    refused("backup", "--data", data, place / "there", word="--force")
    refused("export", "--data", data, place / "there", word="--force")
    eq((place / "there").read_text(), "precious", "the file that was there")
    (place / "foreign").write_text("x" * 4096)
    refused("check", place / "foreign", word="not an SQLite database")
    for command in ("backup", "check", "export", "import"):
        ok(f"Usage: sluice admin {command}" in works(command, "--help").stdout, f"help of {command}")


@case(timeout=30)
def ctrl_c_ends_an_import_that_waits_and_leaves_nothing(t):
    data = t.folder() / "data"
    process = subprocess.Popen([sluice(), "admin", "import", "--data", data], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 10 * SLOW
    while not (data / "sluice.db.new").exists():
        if time.monotonic() > deadline:
            process.kill()
            fail("it did not begin", process.communicate())
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    eq(process.wait(10 * SLOW), 130, "exit code")
    process.communicate()
    eq(os.listdir(data), ["lock"], "nothing is left")
