"""The command line `sluice`, and with it libsluice, against the real broker."""
import base64
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from integration.test_tls import make_certificate
from support.broker import SLOW
from support.check import eq, fail, has, ok
from support.runner import case


def sluice():
    path = os.environ.get("SLUICE") or "build/bin/sluice"
    if not os.access(path, os.X_OK):
        fail(f"there is no command line to test at {path}: build it, or set SLUICE")
    return os.path.abspath(path)


def url_of(address):
    return "ws://%s:%d/ws" % address


def run(broker, *args, stdin=None, url=None, timeout=20, env=None, text=True):
    """Runs it to its end."""
    full = {**os.environ, "SLUICE_URL": url or url_of(broker.public), **(env or {})}
    done = subprocess.run([sluice(), *args], input=stdin, capture_output=True, text=text, timeout=timeout * SLOW, env=full)
    ok("Sanitizer" not in str(done.stderr), "no finding of a sanitizer", done.stderr)
    return done


class Running:
    """One that stays, until close()."""

    def __init__(self, broker, *args, url=None):
        full = {**os.environ, "SLUICE_URL": url or url_of(broker.public)}
        self.process = subprocess.Popen([sluice(), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=full)
        self.lines, self.said = [], []
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.said))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, into):
        for line in stream:
            into.append(line.rstrip("\n"))

    def until(self, what, met, timeout=20):
        end = time.monotonic() + timeout * SLOW
        while not met(self):
            if time.monotonic() > end or (self.process.poll() is not None and not self._drain() and not met(self)):
                fail(f"not in time: {what}", f"stdout {self.lines[-10:]}", f"stderr {self.said[-10:]}",
                     f"exit code {self.process.poll()}")
            time.sleep(0.01)
        return self

    def _drain(self):
        for reader in self.readers:
            reader.join(2)
        return False

    def subscribed(self):
        return self.until("subscribed", lambda r: any("subscribed to" in line for line in r.said))

    def wait(self, timeout=20):
        code = self.process.wait(timeout * SLOW)
        self._drain()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._drain()
        self.process.stdout.close()
        self.process.stderr.close()


class Cutter:
    """A TCP relay whose connections can be cut without a word."""

    def __init__(self, target):
        self.target, self.pairs, self.made = target, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            other = socket.create_connection(self.target)
            self.pairs.append((one, other))
            self.made += 1
            for a, b in ((one, other), (other, one)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()

    def close(self):
        self.listener.close()
        self.cut()


@case
def what_is_published_comes_out_as_it_went_in(t):
    broker = t.broker()
    reader = t.keep(Running(broker, "sub", "kinds/#", "-C", "5", "-o", "jsonl", "-v")).subscribed()
    blob = bytes(range(256))
    for args, stdin in ((["kinds/json", '{"b":1,"a":[1.50,"\\u00e9"]}', "-k", "k1", "-H", "region=eu"], None), (["kinds/text", "plain text"], None),
                        (["kinds/forced", "5", "--text"], None), (["kinds/file", "-"], "line one\nline two"),
                        (["kinds/bytes", "-", "--binary"], blob)):
        done = run(broker, "pub", *args, stdin=stdin, text=not isinstance(stdin, bytes))
        eq(done.returncode, 0, f"exit code of pub {args}: {done.stderr}")
    eq(reader.wait(), 0, "exit code of sub")
    got = {m["topic"]: m for m in map(json.loads, reader.lines)}
    has(got["kinds/json"], key="k1", headers={"region": "eu"}, offset=1)
    ok('"data":{"b":1,"a":[1.50,"\\u00e9"]}' in reader.lines[0], "the payload token for token", reader.lines[0])
    eq(got["kinds/text"]["data"], "plain text")
    eq(got["kinds/forced"]["data"], "5")
    eq(got["kinds/file"]["data"], "line one\nline two")
    eq(base64.b64decode(got["kinds/bytes"]["data64"]), blob)


@case
def ten_thousand_lines_keep_their_order(t):
    broker = t.broker()
    reader = t.keep(Running(broker, "sub", "lines", "-C", "10000", "--no-topic", "-v")).subscribed()
    done = run(broker, "pub", "-l", "lines", stdin="".join(f"{n}\n" for n in range(10000)))
    eq(done.returncode, 0, done.stderr)
    eq(reader.wait(), 0, "exit code of sub")
    eq(reader.lines, [str(n) for n in range(10000)], "lines")


@case
def exit_codes_say_what_went_wrong(t):
    broker = t.broker()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = url_of(free.getsockname())
        rows = [
            (0, ["pub", "a", "1"], {}), (0, ["version"], {}), (0, ["help"], {}), (0, ["help", "sub"], {}),
            (1, ["pub", "$SYS/x", "1"], {}), (1, ["req", "nobody/there", "1"], {}), (1, ["sub", "x", "--overflow", "pause", "--group", "g",
                                                                                           "--hz", "1", "-W", "5"], {}),
            (2, ["pub", "a"], {}), (2, ["pub", "a", "1", "--retian"], {}), (2, ["pub", "a/#", "1"], {}), (2, ["sub"], {}),
            (2, ["pub", "a", "{broken", "--json"], {}), (2, ["nothing"], {}), (2, [], {}), (2, ["sub", "a#"], {}),
            (3, ["pub", "a", "1"], {"url": nobody}), (3, ["pub", "a", "1"], {"url": "ws://127.0.0.1:1/ws"}),
            (4, ["sub", "quiet/+", "-W", "100ms"], {}),
            (5, ["pub", "a", "-f", "/there/is/no/such/file"], {}),
        ]
        for code, args, options in rows:
            done = run(broker, *args, **options)
            eq(done.returncode, code, f"exit code of {args}: {done.stderr}")
            ok(code == 0 or done.stdout == "", f"stdout of {args} is for data only", done.stdout)
    done = run(broker, "pub", "a", "1", "--retian")
    ok("--retain" in done.stderr, "the nearest flag is named", done.stderr)


@case(timeout=60)
def a_reader_survives_cut_connections_without_hole_or_repeat(t):
    broker = t.broker(config={"topics": [{"filter": f, "log": "memory", "max-count": 1000} for f in ("cut/#", "wild/#")]})
    writer = t.client(broker)
    for topics, filter_ in ((["cut/one"], "cut/one"), (["wild/a", "wild/b", "wild/c"], "wild/+")):
        relay = t.keep(Cutter(broker.public))
        reader = t.keep(Running(broker, "sub", filter_, "-v", "-F", "%t %p", url=url_of(relay.address))).subscribed()
        for n in range(300):
            writer.pub(topics[n % len(topics)], n)
            if n % 100 == 50:
                reader.until("connected through the relay", lambda r: relay.pairs)
                time.sleep(0.05)
                relay.cut()
            if n % 20 == 0:
                time.sleep(0.05)
        reader.until("300 messages", lambda r: len(r.lines) >= 300, timeout=30)
        for topic in topics:
            got = [int(line.split()[1]) for line in reader.lines if line.startswith(topic + " ")]
            eq(got, [n for n in range(300) if topics[n % len(topics)] == topic], topic)
        eq(len(reader.lines), 300, "messages")
        ok(relay.made >= 4, "connections", relay.made)
        reader.close()
        relay.close()


@case
def requests_are_answered_by_text_by_echo_and_by_a_command(t):
    broker = t.broker()
    for args, question, want in ((["fixed"], '"x"', "fixed"), (["--echo"], '{"a":[1,2]}', '{"a":[1,2]}'),
                                 (["--exec", 'read x; echo "$SLUICE_TOPIC:$x"'], "[7]", "ask/a:[7]")):
        answerer = t.keep(Running(broker, "reply", "ask/+", *args, "-v"))
        end = time.monotonic() + 10 * SLOW
        while (done := run(broker, "req", "ask/a", question)).returncode == 1 and time.monotonic() < end:
            time.sleep(0.05)  # nobody was subscribed yet
        eq((done.returncode, done.stdout.rstrip("\n")), (0, want), done.stderr)
        answerer.close()
        eq(answerer.process.returncode, 0, "exit code after SIGINT")


@case
def history_is_read_page_by_page(t):
    broker = t.broker(config={"topics": [{"filter": "paged/#", "log": "memory", "max-count": 5000}]})
    eq(run(broker, "pub", "-l", "paged/a", stdin="".join(f"{n}\n" for n in range(1800))).returncode, 0)
    every = run(broker, "history", "paged/a", "--from", "first", "-F", "%p")
    eq(every.stdout.split(), [str(n) for n in range(1800)], f"all: {every.stderr}")
    eq(run(broker, "history", "paged/a", "--last", "3", "-F", "%o %p").stdout, "1798 1797\n1799 1798\n1800 1799\n")
    back = run(broker, "history", "paged/a", "--reverse", "--limit", "700", "-F", "%p")
    eq(back.stdout.split(), [str(n) for n in range(1799, 1099, -1)], f"backwards: {back.stderr}")
    eq(run(broker, "history", "paged/none").stdout, "")


@case
def a_group_shares_the_work(t):
    broker = t.broker()
    workers = [t.keep(Running(broker, "sub", "jobs", "--group", "g", "-v", "--no-topic")).subscribed() for _ in range(2)]
    eq(run(broker, "pub", "-l", "jobs", stdin="".join(f"{n}\n" for n in range(60))).returncode, 0)
    end = time.monotonic() + 20 * SLOW
    while sum(len(w.lines) for w in workers) < 60 and time.monotonic() < end:
        time.sleep(0.02)
    eq(sorted(int(line) for w in workers for line in w.lines), list(range(60)), "each job once")
    ok(all(w.lines for w in workers), "both worked", [len(w.lines) for w in workers])


@case
def presence_counts_and_watches(t):
    broker = t.broker()
    here = t.keep(Running(broker, "sub", "room", "--presence", "-v", "--name", "first")).subscribed()
    watcher = t.keep(Running(broker, "presence", "--watch", "room"))
    watcher.until("the member that is here", lambda r: any(line.startswith("here ") for line in r.lines))
    count = run(broker, "presence", "--count", "room")
    ok(count.returncode == 0 and int(count.stdout) >= 1, "count", count.stdout + count.stderr)
    second = t.keep(Running(broker, "sub", "room", "--presence", "-v")).subscribed()
    watcher.until("a join", lambda r: any(line.startswith("join ") for line in r.lines))
    second.close()
    watcher.until("a leave", lambda r: any(line.startswith("leave ") for line in r.lines), timeout=30)
    here.close()


@case
def certificates_and_host_names_are_checked(t):
    folder = t.folder()
    make_certificate(folder, "first")
    broker = t.broker(settings={"tls.certificate": folder / "cert.pem", "tls.key": folder / "key.pem"})
    port = broker.public[1]
    good = f"wss://localhost:{port}/ws"
    big = folder / "big.json"
    big.write_text(json.dumps(["x" * 500_000]))
    eq(run(broker, "pub", "tls", "-f", str(big), "--ca", str(folder / "cert.pem"), url=good).returncode, 0)
    back = run(broker, "history", "tls", "--no-topic", "--ca", str(folder / "cert.pem"), url=f"wss://127.0.0.1:{port}/ws")
    eq(back.stdout.strip(), json.dumps(["x" * 500_000]), "the payload")
    refused = run(broker, "pub", "tls", "1", url=good)
    eq(refused.returncode, 3, "exit code without the authority")
    ok("certificate" in refused.stderr, "the reason", refused.stderr)
    wrong = run(broker, "pub", "tls", "1", "--ca", str(folder / "cert.pem"), url=f"wss://127.0.0.2:{port}/ws")
    eq(wrong.returncode, 3, "exit code for another host's certificate")
    eq(run(broker, "pub", "tls", "1", "--insecure", url=good).returncode, 0)


@case(timeout=60)
def a_drained_broker_lets_readers_wait_for_the_next(t):
    broker = t.broker()
    reader = t.keep(Running(broker, "sub", "a", "-v")).subscribed()
    broker.signal(signal.SIGTERM)
    eq(broker.wait_exit(15 * SLOW), 0, "exit code of the broker")
    broker.exit_expected = 0
    reader.until("the loss is said", lambda r: any("connection lost (4300)" in line for line in r.said))
    ok(reader.process.poll() is None, "the reader goes on trying")


@case(timeout=90, checked=False)
def bench_reports_figures(t):
    broker = t.broker()
    done = run(broker, "bench", "--subs", "20", "--stopped", "10", "--idle", "50", "--duration", "1s", "--warmup", "300ms", "-o", "json",
               "--pid", str(broker.pid), timeout=60)
    eq(done.returncode, 0, done.stderr)
    figures = json.loads(done.stdout)
    for name in ("published", "delivered", "latency_p50_ms", "server_cpu_us_per_message", "server_rss_bytes"):
        ok(figures[name] > 0, name, figures)
    eq((figures["refused"], figures["connections_lost"], figures["not_delivered"]), (0, 0, 0), str(figures))


@case
def manual_pages_say_what_the_help_says(t):
    folder = Path(__file__).resolve().parents[2] / "clients" / "cli" / "man"
    names = [line.split(":")[0] for line in subprocess.run([sluice(), "help", "--names"], capture_output=True, text=True,
                                                           check=True).stdout.splitlines()]
    for name in ["", *(n for n in names if n not in ("version", "help"))]:
        page = folder / f"sluice{'-' if name else ''}{name}.1"
        made = subprocess.run([sluice(), "help", "--man", *([name] if name else [])], capture_output=True, text=True, check=True)
        eq(page.read_text(), made.stdout, f"{page.name}; make it new with: sluice help --man {name} >{page.name}")
