"""Servers to measure and loads to put on them.

A run is one server process and one load, both new, each on a core of its own where the machine has two. What a load
says about messages is checked: a figure of a server that loses or doubles messages is no figure.
"""
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.broker import Broker  # noqa: E402
from tests.support.check import Failed  # noqa: E402

SLUICED = Path(os.environ.setdefault("SLUICED", str(ROOT / "build/bin/sluiced"))).resolve()
SLUICE = Path(os.environ.get("SLUICE") or SLUICED.parent / "sluice").resolve()
LOAD_TIMEOUT_S = 300


class Misbehaved(Exception):
    """The server under load lost messages, refused or crashed; or the load itself could not run."""


# ---- machine -----------------------------------------------------------------------------------------------------

def machine():
    text = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    is_virtual = " hypervisor" in text
    name = os.uname()
    return {"cpu": model, "cores": os.cpu_count(), "memory_bytes": memory, "kernel": f"{name.sysname} {name.release}",
            "virtual": is_virtual, "load_average": round(os.getloadavg()[0], 2),
            "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}


CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES, LOAD_CORES = ({CORES[0]}, {CORES[1]}) if len(CORES) > 1 else (set(CORES), set(CORES))


def pin(pid, cores):
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cores)


def status_bytes(pid, field):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise Misbehaved(f"process {pid} has no {field}")


# ---- servers -----------------------------------------------------------------------------------------------------

def program(name):
    """A bench program stands beside sluiced."""
    path = SLUICED.parent / name
    if not os.access(path, os.X_OK):
        raise Misbehaved(f"{path} is not there: build with -DSLUICE_TESTS=ON")
    return str(path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_listening(port, process, name):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Misbehaved(f"{name} does not listen on port {port}")


class Server:
    """What a load needs to know: kind is bench_peer's word for the protocol."""

    def __init__(self, kind, pid, port, url=None):
        self.kind, self.pid, self.port, self.url = kind, pid, port, url


@contextmanager
def sluice(workers=1, pinned=True, tls=None, **settings):
    """tls: a folder with cert.pem and key.pem."""
    settings = {name.replace("__", "-").replace("_", "."): value for name, value in settings.items()}
    if "limits.memory" not in settings:
        # Where nobody stops reading, a load that is descheduled for a while must not send its readers to the log: it
        # holds 100 messages, and what it has lost by then is announced but not delivered.
        settings = {"limits.queue-bytes": "64MiB", "limits.queue-messages": "1000000", **settings}
    if tls:
        settings.update({"tls.certificate": f"{tls}/cert.pem", "tls.key": f"{tls}/key.pem"})
    broker = Broker(workers=workers, settings=settings)
    try:
        if pinned:
            pin(broker.pid, SERVER_CORES)
        scheme = "wss" if tls else "ws"
        yield Server("sluice", broker.pid, broker.public[1], f"{scheme}://127.0.0.1:{broker.public[1]}/ws")
    except BaseException:
        broker.exit_expected = None
        broker.stop()
        raise
    broker.stop()


@contextmanager
def process(command, name, cwd=None):
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=cwd,
                                 preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORES))
        try:
            yield child
            if child.poll() not in (None, 0):
                log.seek(0)
                raise Misbehaved(f"{name} ended by itself with {child.returncode}: {log.read()[-300:]!r}")
        finally:
            child.terminate()
            child.wait()
            child.stdout.close()


@contextmanager
def floor():
    with process([program("bench_floor")], "the floor") as child:
        line = child.stdout.readline().decode()
        if not line.startswith("ready "):
            raise Misbehaved("the floor did not start")
        yield Server("floor", child.pid, int(line.rsplit(":", 1)[1]))


@contextmanager
def configured(kind, command, text, port):
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        (Path(folder) / "server.conf").write_text(text)
        with process([*command, "server.conf"], command[0], cwd=folder) as child:
            wait_listening(port, child, command[0])
            yield Server(kind, child.pid, port)


def nats():
    port = free_port()
    return configured("nats", ["nats-server", "-c"], f"""
host: 127.0.0.1
port: {free_port()}
websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}
""", port)


def mosquitto():
    port = free_port()  # this build needs a plain listener too
    return configured("mqtt", ["mosquitto", "-c"], f"""
listener {free_port()} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
""", port)


# name: how to start it, and Debian's package that it comes from
PEERS = {"nats": (nats, "nats-server"), "mosquitto": (mosquitto, "mosquitto")}


def peers():
    """(those that are here, those that are not)"""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"  # a plain user's PATH leaves out where brokers lie
    there = {name: start for name, (start, package) in PEERS.items() if shutil.which(package)}
    return there, [package for name, (_, package) in PEERS.items() if name not in there]


# ---- loads -------------------------------------------------------------------------------------------------------

def run_load(command, what, pinned=True):
    cores = LOAD_CORES if pinned else set(CORES)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, stdin=subprocess.DEVNULL,
                              preexec_fn=lambda: os.sched_setaffinity(0, cores))
    except subprocess.TimeoutExpired:
        raise Misbehaved(f"{what}: the load did not end in {LOAD_TIMEOUT_S} s") from None
    return result_of(done.stdout, done.stderr, done.returncode, what)


def result_of(stdout, stderr, code, what):
    """What a load says, if there is nothing wrong with it."""
    try:
        result = json.loads(stdout)
    except ValueError:
        raise Misbehaved(f"{what}: {stderr.strip()[-300:] or 'no result'} (exit code {code})") from None
    for trouble in ("not_delivered", "connections_lost", "refused", "gaps"):
        if result.get(trouble):
            raise Misbehaved(f"{what}: {trouble.replace('_', ' ')}: {result[trouble]:.0f} {result.get('error', '')}")
    if code:
        raise Misbehaved(f"{what}: exit code {code}: {stderr.strip()[-300:]}")
    return result


def flags(options):
    return [word for name, value in options.items()
            for word in ([f"--{name}"] if value is True else [f"--{name}", str(value)])]


def bench(server, pinned=True, **options):
    """`sluice bench`; a keyword is a flag."""
    insecure = ["--insecure"] if server.url.startswith("wss") else []
    command = [str(SLUICE), "bench", "-s", server.url, *insecure, "--pid", str(server.pid), "-o", "json",
               *flags(options)]
    return run_load(command, f"sluice bench {' '.join(flags(options))}", pinned)


def peer_load(server, pinned=True, **options):
    """bench_peer, which speaks to all of them."""
    command = [program("bench_peer"), server.kind, str(server.port), "--pid", str(server.pid), *flags(options)]
    return run_load(command, f"{server.kind}: {' '.join(flags(options))}", pinned)


def tool(*command):
    """Output of a bench program that measures without a server."""
    done = subprocess.run([program(command[0]), *map(str, command[1:])], capture_output=True, text=True,
                          timeout=LOAD_TIMEOUT_S)
    if done.returncode:
        raise Misbehaved(f"{command[0]}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def certificate(folder):
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                           "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", f"{folder}/key.pem",
                           "-out", f"{folder}/cert.pem"], capture_output=True, text=True)
    if done.returncode:
        raise Misbehaved(f"openssl: {done.stderr.strip()[-300:]}")
    return folder


__all__ = ["Failed", "Misbehaved", "bench", "certificate", "floor", "machine", "peer_load", "peers", "sluice",
           "status_bytes", "tool"]
