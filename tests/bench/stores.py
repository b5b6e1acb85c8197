"""Brokers with a log on disk, data folders that outlive one of them, and the loads of bench_log.

The data lie in build/ (or SLUICE_BENCH_DATA), on a disk: what flushes cost says nothing in memory. Broker and load
share all cores: the engine has threads of its own.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import rig
from rig import Misbehaved
from tests.support.broker import Broker

# Topics of the loads, by what their rule keeps.
RULES = [
    {"filter": "disk/#", "log": "disk", "max-count": 0, "max-bytes": "0"},
    {"filter": "disk-short/#", "log": "disk", "max-count": 1000},
    {"filter": "memory/#", "log": "memory", "max-count": 100000000, "max-bytes": "64GiB", "max-age": "24h"},
    {"filter": "memory-short/#", "log": "memory", "max-count": 1000},
]
START_TIMEOUT_S = 300
FILL = {"conns": 64, "window": 16}


# ---- folders -----------------------------------------------------------------------------------------------------

def file_system(path):
    """(kind, device) of where path lies."""
    path, best = str(Path(path).resolve()), ("", "?", "?")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount = line.split()[4]
        kind, device = line.split(" - ", 1)[1].split()[:2]
        if (path == mount or path.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best[0]):
            best = (mount, kind, device)
    return best[1:]


def place():
    """Where data folders are made: the first of these that is on a disk."""
    choices = [Path(p) for p in (os.environ.get("SLUICE_BENCH_DATA"), rig.ROOT / "build", tempfile.gettempdir()) if p]
    there = [p for p in choices if p.is_dir() and os.access(p, os.W_OK)]
    if not there:
        raise Misbehaved(f"no folder to write to: none of {', '.join(map(str, choices))}")
    return next((p for p in there if file_system(p)[0] not in ("tmpfs", "ramfs")), there[0])


def place_line():
    folder = place()
    kind, device = file_system(folder)
    warning = "!! NO DISK: " if kind in ("tmpfs", "ramfs") else ""
    return f"{warning}data in {os.path.relpath(folder)}, {kind} on {device}"


@contextmanager
def data_folder():
    folder = Path(tempfile.mkdtemp(prefix="bench-data-", dir=place()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def forget_pages(folder):
    """The next to read these files reads them from the disk."""
    for path in Path(folder).iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def megabytes(folder):
    return sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6


# ---- brokers -----------------------------------------------------------------------------------------------------

class StoreServer(rig.Server):
    def __init__(self, broker, folder, start_s):
        super().__init__("sluice", broker.pid, broker.public[1])
        self.broker, self.folder, self.start_s = broker, Path(folder), start_s
        self.counters = self.folder / "sluice.db-shm"

    def kill(self):
        self.broker.exit_expected = -9
        self.broker.process.kill()
        self.broker.process.wait()


@contextmanager
def sluice(folder, workers=1):
    began = time.monotonic()
    broker = Broker(data=folder, workers=workers, config={"topics": RULES}, wait=False)
    try:
        broker.ready.wait(START_TIMEOUT_S)
        start_s = time.monotonic() - began
        broker.wait_ready()
        yield StoreServer(broker, folder, start_s)
    except BaseException:
        broker.exit_expected = None
        broker.stop()
        raise
    broker.stop()


class Stores:
    """Filled data folders, each made when it is first asked for."""

    def __init__(self, keep):
        self.keep, self.made = keep, {}

    def get(self, count, topics):
        """A store that holds count messages on so many topics disk/…; use() it with nobody else."""
        if (count, topics) not in self.made:
            folder = self.keep.enter_context(data_folder())
            with sluice(folder) as server:
                load(server, "publish", prefix="disk", count=count, topics=topics, **FILL)
            self.made[count, topics] = Store(folder, count, topics)
        return self.made[count, topics]


class Store:
    def __init__(self, folder, count, topics):
        self.folder, self.count, self.topics = folder, count, topics

    @contextmanager
    def use(self, cold=False):
        if cold:
            forget_pages(self.folder)
        with sluice(self.folder) as server:
            yield server

    def replay(self, server, **options):
        """All of it to one reader; what is published live meanwhile is held afterwards too."""
        result = load(server, "replay", prefix="disk", count=self.count, topics=self.topics, **options)
        self.count += result["live"]
        return result


# ---- loads -------------------------------------------------------------------------------------------------------

def command(server, kind, options):
    return [rig.program("bench_log"), kind, str(server.port), "--pid", str(server.pid), "--commits",
            str(server.counters), *rig.flags(options)]


def load(server, kind, **options):
    """bench_log: publish, replay or probe."""
    return rig.run_load(command(server, kind, options), f"{kind}: {' '.join(rig.flags(options))}", pinned=False)


def loads(server, *wanted):
    """Several at a time, (kind, options) each; their results in the same order."""
    running = [(subprocess.Popen(command(server, kind, options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True), f"{kind}: {' '.join(rig.flags(options))}")
               for kind, options in wanted]
    try:
        return [rig.result_of(*child.communicate(timeout=rig.LOAD_TIMEOUT_S), child.returncode, what)
                for child, what in running]
    except subprocess.TimeoutExpired:
        raise Misbehaved(f"a load did not end in {rig.LOAD_TIMEOUT_S} s") from None
    finally:
        for child, _ in running:
            if child.poll() is None:
                child.kill()
                child.wait()


def raw(kind, folder, **options):
    """bench_sqlite: the same disk without a broker."""
    return json.loads(rig.tool("bench_sqlite", kind, folder, *rig.flags(options)))
