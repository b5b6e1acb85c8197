"""The real sluiced, started on free ports in a folder of its own and looked over when it ends.

Afterwards: no descriptor left behind once its connections are closed, exit code 0 on SIGTERM within the grace
period, nothing from a sanitizer in its log.
"""
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .check import Failed, fail, ok, short

SLOW = float(os.environ.get("SLUICE_TEST_SLOW", "1"))  # checked builds get more time
FINDINGS = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed|"
                      r"ThreadSanitizer: (CHECK|SEGV|deadlock)")
READY = re.compile(r"^ready listen=(\S+) admin=(\S+)$")


def program():
    path = os.environ.get("SLUICED") or "build/bin/sluiced"
    if not os.access(path, os.X_OK):
        fail(f"there is no broker to test at {path}: build it, or set SLUICED")
    return os.path.abspath(path)


def environment(extra=None):
    """Ours without the variables that would configure the broker under test."""
    return {**{n: v for n, v in os.environ.items() if not n.startswith("SLUICE_")}, **(extra or {})}


def split_address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def flags_of(settings):
    flags = []
    for name, value in (settings or {}).items():
        flags += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    return flags


def yaml_of(value, indent=0):
    """Enough YAML for configurations in tests: maps, lists of maps, quoted scalars."""
    pad, lines = "  " * indent, []
    for name, item in value.items():
        if isinstance(item, dict):
            lines += [f"{pad}{name}:", yaml_of(item, indent + 1)]
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            lines.append(f"{pad}{name}:")
            for row in item:
                body = yaml_of(row, indent + 2).splitlines()
                lines += [f"{pad}  - {body[0].strip()}", *body[1:]]
        elif isinstance(item, list):
            lines.append(f"{pad}{name}: [{', '.join(scalar(i) for i in item)}]")
        else:
            lines.append(f"{pad}{name}: {scalar(item)}")
    return "\n".join(lines)


def scalar(item):
    if isinstance(item, bool):
        return "true" if item else "false"
    return str(item) if isinstance(item, (int, float)) else '"' + item.replace('"', '\\"') + '"'


class Broker:
    """settings become --set; config (dict or YAML text) becomes a file that --config names; data is a folder that
    outlives it (one of its own otherwise)."""

    def __init__(self, *flags, dev=True, settings=None, config=None, workers=None, env=None, nofile=None, listen=True,
                 wait=True, data=None):
        self.dir = Path(tempfile.mkdtemp(prefix="sluice-test-"))
        self.config_file = self.dir / "sluice.yaml"
        command = [program()]
        if dev:
            command.append("--dev")
        if config is not None:
            self.write_config(config)
            command += ["--config", str(self.config_file)]
        if listen:
            command += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        workers = workers or os.environ.get("SLUICE_TEST_WORKERS") or 1
        self.data = Path(data) if data else self.dir / "data"
        command += ["--data", str(self.data), "--workers", str(workers), *flags_of(settings), *flags]
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))) if nofile else None
        self.command = command
        self.log_file = self.dir / "stderr.log"
        self.log = open(self.log_file, "wb")
        self.process = subprocess.Popen(command, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log, preexec_fn=limit, env=environment(env))
        self.pid = self.process.pid
        self.exit_expected = 0
        self.stopped = False
        self.lines = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self._read_stdout, daemon=True)
        self.reader.start()
        if wait:
            self.wait_ready()

    def write_config(self, config):
        self.config_file.write_text(config if isinstance(config, str) else yaml_of(config) + "\n")

    def _read_stdout(self):
        for line in self.process.stdout:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
            found = READY.match(self.lines[-1])
            if found and not self.ready.is_set():
                self.public, self.admin = split_address(found[1]), split_address(found[2])
                self.ready.set()
        self.ready.set()

    def wait_ready(self):
        if not self.ready.wait(10 * SLOW) or not hasattr(self, "public"):
            self.exit_expected = None
            fail("the broker did not get ready", f"command: {' '.join(self.command)}", f"stdout: {self.lines}",
                 f"log: {short(self.log_text(), 3000)}")
        self.fds_at_start = self.fds()

    # looking at it -----------------------------------------------------------------------------------------------

    def log_text(self):
        self.log.flush()
        return self.log_file.read_text(errors="replace")

    def fds(self):
        found = {}
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found[int(name)] = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except OSError:
                pass
        return found

    def rss(self):
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def running(self):
        return self.process.poll() is None

    # ending ------------------------------------------------------------------------------------------------------

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        self.signal(signal.SIGHUP)

    def kill(self):
        """As a crash would, without warning; it may be stopped as usual afterwards."""
        self.exit_expected = -signal.SIGKILL
        self.signal(signal.SIGKILL)
        self.process.wait()

    def wait_exit(self, timeout):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def check_descriptors(self):
        """Called when the test's own connections are closed. The store's do not count: it opens them when it first
        needs them, and keeps them."""
        def others(found):
            return {n: target for n, target in found.items() if not target.startswith(str(self.data))}
        before, deadline = others(self.fds_at_start), time.monotonic() + 3 * SLOW
        while time.monotonic() < deadline:
            now = others(self.fds())
            if len(now) <= len(before):
                return
            time.sleep(0.02)
        extra = {n: target for n, target in now.items() if before.get(n) != target}
        fail(f"descriptors leaked: {len(before)} at the start, {len(now)} after all connections closed", str(extra))

    def stop(self, grace=15):
        """Ends it as an operator would and checks how it went."""
        if self.stopped:
            return
        self.stopped = True
        problems = []
        try:
            if self.running() and self.exit_expected == 0 and hasattr(self, "fds_at_start"):
                self.check_descriptors()
        except (Failed, OSError) as error:
            problems.append(str(error))
        if self.running():
            self.signal(signal.SIGTERM)
        code = self.wait_exit(grace * SLOW)
        if code is None:
            problems.append(f"still running {grace * SLOW:.0f} s after SIGTERM")
            self.process.kill()
            self.process.wait()
        elif self.exit_expected is not None and code != self.exit_expected:
            problems.append(f"exit code {code}, wanted {self.exit_expected}")
        self.reader.join(2)
        self.process.stdout.close()
        text = self.log_text()
        self.log.close()
        found = FINDINGS.search(text)
        if found:
            problems.append(f"finding in the broker's log:\n{text[max(0, found.start() - 200):found.start() + 6000]}")
        self.final_log = text
        shutil.rmtree(self.dir, ignore_errors=True)
        if problems:
            raise Failed("broker: " + "\nbroker: ".join(problems))


def run_once(*flags, config=None, env=None, timeout=10, files=None):
    """Runs sluiced to its end, for --check-config and mistakes. Returns (exit code, stdout, stderr, seconds)."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    env = {"STATE_DIRECTORY": str(folder / "state"), **(env or {})}  # one that starts must not use the system's
    try:
        command = [program()]
        if config is not None:
            (folder / "sluice.yaml").write_text(config)
            command += ["--config", "sluice.yaml"]
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        start = time.monotonic()
        try:
            done = subprocess.run([*command, *flags], cwd=folder, capture_output=True, text=True,
                                  timeout=timeout * SLOW, stdin=subprocess.DEVNULL, env=environment(env))
        except subprocess.TimeoutExpired as late:
            raise Failed(f"sluiced {' '.join(flags)} did not end in {timeout * SLOW:.0f} s; stdout {late.stdout!r}, "
                         f"stderr {late.stderr!r}") from None
        ok(not FINDINGS.search(done.stderr), "finding in the log", done.stderr)
        return done.returncode, done.stdout, done.stderr, time.monotonic() - start
    finally:
        shutil.rmtree(folder, ignore_errors=True)
