#!/usr/bin/python3
"""Runs the Python tests: each in a process of its own, several at once, with a deadline and readable failures.

A test is a function marked @case, or one marked @table(rows) that is called for each row against one shared broker.
Its argument makes brokers and clients and clears them away; a broker's exit belongs to the test.
"""
import argparse
import importlib.util
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from support.broker import SLOW, Broker, program  # noqa: E402
from support.check import Failed, Skipped  # noqa: E402
from support.sluice_client import Client  # noqa: E402
from support.websocket import WebSocket  # noqa: E402


GRACE = 30  # seconds that a test which is late has to clear up


def case(function=None, *, timeout=30, long=False, checked=True):
    """long: only with --long. checked=False: not against sanitizer builds (it measures time or memory)."""
    def mark(f):
        f.test = {"timeout": timeout, "long": long, "checked": checked, "rows": None, "line": f.__code__.co_firstlineno}
        return f
    return mark(function) if function else mark


def table(rows, *, timeout=60, broker=None):
    """rows: (name, …) tuples; the function gets (t, broker, *rest of the row)."""
    def mark(f):
        f.test = {"timeout": timeout, "long": False, "checked": True, "rows": list(rows), "broker": broker or {},
                  "line": f.__code__.co_firstlineno}
        return f
    return mark


class Context:
    """What a test gets as t."""

    def __init__(self):
        self.opened = []
        self.brokers = []
        self.children = []
        self.folders = []

    def broker(self, *flags, **options):
        made = Broker.__new__(Broker)
        self.brokers.append(made)
        made.__init__(*flags, **options)
        return made

    def client(self, broker, **options):
        made = Client(options.pop("address", None) or broker.public, timeout=options.pop("timeout", 10 * SLOW), **options)
        self.opened.append(made)
        return made

    def ws(self, broker, **options):
        made = WebSocket(options.pop("address", None) or broker.public, timeout=options.pop("timeout", 10 * SLOW),
                         **options)
        self.opened.append(made)
        return made

    def keep(self, closable):
        """Anything with close(), closed before the brokers are looked over."""
        self.children.append(closable)
        return closable

    def folder(self):
        self.folders.append(tempfile.mkdtemp(prefix="sluice-test-"))
        return Path(self.folders[-1])

    def skip(self, reason):
        raise Skipped(reason)

    def traces(self):
        lines = []
        for at, made in list(enumerate(self.opened, 1))[-3:]:
            ws = getattr(made, "ws", made)
            lines.append(f"connection {at} of {len(self.opened)}, its last frames:")
            lines += [f"  {line[:200]}" for line in list(ws.trace)[-7:]]
        for broker in self.brokers[-3:]:
            if hasattr(broker, "command"):
                lines.append("broker: " + " ".join(broker.command))
                text = getattr(broker, "final_log", None) or (broker.log_text() if not broker.stopped else "")
                lines += ["  log: " + line[:300] for line in text.splitlines()[-12:]]
        return "\n".join(lines)

    def close_connections(self):
        for made in self.opened:
            made.abort()
        for made in self.children:
            try:
                made.close()
            except OSError:
                pass
        self.opened, self.children = [], []

    def finish(self):
        """Ends everything; returns what was wrong with the brokers."""
        self.close_connections()
        problems = []
        for broker in self.brokers:
            if not hasattr(broker, "process"):
                continue
            try:
                broker.stop()
            except Failed as error:
                problems.append(str(error))
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        return problems


def explain(error, context):
    if isinstance(error, Failed):
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/support/" not in f.filename]
        where = "\n".join(f"  at {Path(f.filename).name}:{f.lineno} {f.line}" for f in frames[-3:])
        text = f"{error}\n{where}"
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    try:
        return f"{text}\n{context.traces()}"
    except Exception as second:  # the explanation must not hide the failure
        return f"{text}\n(no traces: {second!r})"


def run_case(function, report):
    context, started = Context(), time.monotonic()
    status, detail = "pass", ""
    try:
        function(context)
    except Skipped as skipped:
        status, detail = "skip", str(skipped)
    except Exception as error:
        status, detail = "fail", explain(error, context)
    problems = context.finish()
    if problems:
        detail = "\n".join([detail, *problems]).strip() if status == "fail" else "\n".join(problems)
        status = "fail"
    report("", status, time.monotonic() - started, detail)


def run_table(function, report):
    options = function.test["broker"]
    context, broker = Context(), None
    for row in function.test["rows"]:
        started, status, detail = time.monotonic(), "pass", ""
        try:
            if broker is None or not broker.running():
                broker = context.broker(**options)
            function(context, broker, *row[1:])
        except Skipped as skipped:
            status, detail = "skip", str(skipped)
        except Exception as error:
            status, detail = "fail", explain(error, context)
        if broker is not None and hasattr(broker, "process") and not broker.running():
            status, detail = "fail", f"{detail}\nthe broker is gone: exit {broker.process.poll()}".strip()
        context.close_connections()
        report(row[0], status, time.monotonic() - started, detail)
    problems = context.finish()
    if broker is not None:
        report("the broker ends cleanly", "fail" if problems else "pass", 0.0, "\n".join(problems))


class Job:
    """One test function in a child process; its results come through a pipe, a line each."""

    def __init__(self, name, function):
        self.name, self.function = name, function
        self.data = b""
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read_end)
            self.child(write_end)
        os.close(write_end)
        os.setpgid(self.pid, self.pid)
        self.pipe = read_end
        self.deadline = time.monotonic() + function.test["timeout"] * SLOW + GRACE  # the child's own alarm comes first

    def child(self, write_end):
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGALRM, self.late)
            signal.alarm(int(self.function.test["timeout"] * SLOW))

            def report(row, status, seconds, detail):
                line = json.dumps([row, status, round(seconds, 3), detail]) + "\n"
                os.write(write_end, line.encode())
            (run_table if self.function.test["rows"] is not None else run_case)(self.function, report)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def late(self, *_):
        """Raised where the test hangs, so that the failure shows the place and the last frames."""
        raise Failed(f"did not end in {self.function.test['timeout'] * SLOW:.0f} s")

    def end(self, timed_out):
        """Takes the process away, with anything it started, and returns its results."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self.pipe)
        results = [json.loads(line) for line in self.data.decode().split("\n") if line]
        if timed_out:
            results.append(["", "fail", self.function.test["timeout"], "hung, and was killed"])
        elif not results:
            results.append(["", "fail", 0.0, "the test process died without a result"])
        return [(f"{self.name}[{row}]" if row else self.name, status, seconds, detail)
                for row, status, seconds, detail in results]


def load(paths):
    """(name, function) of every marked function in test_*.py below the paths."""
    found = []
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("test_*.py"))
        for file in files:
            if "node_modules" in file.parts:
                continue
            spec = importlib.util.spec_from_file_location(f"{file.parent.name}_{file.stem}", file)
            module = importlib.util.module_from_spec(spec)
            sys.path.insert(0, str(file.parent))
            spec.loader.exec_module(module)
            sys.path.pop(0)
            own = [f for f in vars(module).values() if callable(f) and hasattr(f, "test") and f.__module__ == spec.name]
            for function in sorted(own, key=lambda f: f.test["line"]):
                found.append((f"{file.parent.name}/{file.stem[5:]}/{function.__name__}", function))
    return found


def run_all(jobs, at_once, done):
    waiting, running = list(jobs), {}
    selector = selectors.DefaultSelector()

    def kill_all(number, _):
        for job in running.values():
            try:
                os.killpg(job.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        sys.exit(128 + number)
    signal.signal(signal.SIGINT, kill_all)
    signal.signal(signal.SIGTERM, kill_all)
    while waiting or running:
        while waiting and len(running) < at_once:
            job = Job(*waiting.pop(0))
            running[job.pipe] = job
            selector.register(job.pipe, selectors.EVENT_READ)
        for key, _ in selector.select(0.2):
            job = running[key.fd]
            data = os.read(key.fd, 1 << 16)
            job.data += data
            if not data:
                selector.unregister(key.fd)
                del running[key.fd]
                done(job.end(False))
        for fd, job in list(running.items()):
            if time.monotonic() > job.deadline:
                selector.unregister(fd)
                del running[fd]
                done(job.end(True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--results", help="file to append a line for each test to: status, suite, name, seconds, reason")
    parser.add_argument("--suite", default="python")
    parser.add_argument("--jobs", type=int, default=max(2, (os.cpu_count() or 2)))
    parser.add_argument("--filter", "-k", default="", help="only tests whose name contains this")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--checked", action="store_true", help="a sanitizer build is under test")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--verbose", "-v", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    jobs = [(n, f) for n, f in load(options.paths) if options.filter in n or f.test["rows"] and any(
        options.filter in f"{n}[{r[0]}]" for r in f.test["rows"])]
    jobs = [(n, f) for n, f in jobs if options.long or not f.test["long"]]
    jobs = [(n, f) for n, f in jobs if f.test["checked"] or not options.checked]
    for name, function in jobs:
        if options.filter and options.filter not in name and function.test["rows"]:
            function.test["rows"] = [r for r in function.test["rows"] if options.filter in f"{name}[{r[0]}]"]
    if options.list:
        print("\n".join(name for name, _ in jobs))
        return 0
    try:
        program()
    except Failed as missing:  # once is enough
        if options.results:
            with open(options.results, "a") as out:
                out.write(f"fail\t{options.suite}\tall {len(jobs)} of them\t0\t{missing}\n")
        print(f"FAIL {options.suite}: {missing}")
        return 1
    counts = {"pass": 0, "fail": 0, "skip": 0}
    results = open(options.results, "a") if options.results else None

    def done(outcome):
        for name, status, seconds, detail in outcome:
            counts[status] += 1
            if results:
                reason, name = " ".join(detail.split())[:300], " ".join(name.split())
                results.write(f"{status}\t{options.suite}\t{name}\t{seconds}\t{reason}\n")
            if status != "pass" or options.verbose:
                print(f"{status.upper():4} {name} ({seconds:.2f} s)")
            if detail:
                print("\n".join("     " + line for line in detail.splitlines()), flush=True)
    started = time.monotonic()
    run_all(jobs * options.repeat, options.jobs, done)
    print(f"{options.suite}: {counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped "
          f"in {time.monotonic() - started:.0f} s", flush=True)
    return 1 if counts["fail"] else 0


if __name__ == "__main__":
    sys.exit(main())
