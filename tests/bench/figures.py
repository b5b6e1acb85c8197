#!/usr/bin/python3
"""Measures the broker and prints what it found, with the machine it was found on.

    tests/bench/figures.py            all figures, twenty minutes or so
    tests/bench/figures.py --quick    the same with short runs, below two minutes
    tests/bench/figures.py --only fanout,idle
    tests/bench/figures.py --list

Reads SLUICED and SLUICE (build/bin/… without them); writes figures.json and fanout.svg to SLUICE_ARTIFACTS or
build/artifacts. No figure fails for being slow. The exit code is 1 when a server misbehaved: lost messages, doubled
messages, lost connections, a crash, a leak of descriptors.
"""
import argparse
import os
import re
import resource
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import figures_log
import report
import rig
import stores
from report import Figure

FANOUT = {"subs": 1000, "pubs": 1, "size": 128, "window": 24}
MEMORY_BOUND_MIB = 64


class Plan:
    """How long and how often; peers that are here; filled stores, until keep is closed."""

    def __init__(self, quick, keep):
        self.quick = quick
        self.stores = stores.Stores(keep)
        self.runs = 3
        self.times = {"duration": 0.6, "warmup": 0.2} if quick else {"duration": 5, "warmup": 1}
        self.peers, self.absent = rig.peers()


def rate_of(results):
    return f"{median(r['delivered_per_s'] for r in results):,.0f} deliveries/s"


def fanout(plan):
    """One message to 1,000 readers, the floor and the peers in turns with Sluice"""
    figure = Figure("fanout", "Server CPU for each delivered 128-byte message: 1 topic, 1 publisher with 24 in flight, "
                    "1,000 readers", "ns", base="floor", goal=500)
    servers = {"floor": rig.floor, "sluice": rig.sluice, **plan.peers}
    found = {name: [] for name in servers}
    own = []
    for _ in range(plan.runs):
        for name, start in servers.items():
            with start() as server:
                found[name].append(rig.peer_load(server, **FANOUT, **plan.times))
        with rig.sluice() as server:
            own.append(rig.bench(server, **FANOUT, **plan.times))
    found["sluice, by sluice bench"] = own
    for name, results in found.items():
        figure.add(name, [1e3 * r["server_cpu_us_per_message"] for r in results], rate_of(results))
    return [figure]


def idle(plan):
    """Quiet connections with one subscription each: memory and processor time of each"""
    memory = Figure("idle-memory", "Resident memory of an idle connection with one subscription", "bytes", goal=4096)
    cpu = Figure("idle-cpu", "Server CPU to accept a connection, log it in and subscribe", "µs")
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    few = 1000
    count = min(10000, open_files - few)
    for name, start in {"sluice": rig.sluice, **plan.peers}.items():
        n = count if name == "sluice" else few
        results = []
        for _ in range(1 if plan.quick else plan.runs):
            with start() as server:
                results.append(rig.peer_load(server, subs=n, pubs=0, topics=n))
        memory.add(name, [r["setup_bytes_per_connection"] for r in results], f"{n:,} connections")
        cpu.add(name, [r["setup_cpu_us_per_connection"] for r in results], f"{n:,} connections")
    return [memory, cpu]


def stopped(plan):
    """10 % of the readers stop reading: what the others get, what memory it takes"""
    rate = Figure("stopped", "1,000-byte messages to 900 readers: throughput when 100 more have stopped reading, of "
                  "what it is without them", "%", goal=95, higher_is_better=True)
    cpu = Figure("stopped-cpu", "Server CPU for each delivered message", "ns", base="without")
    memory = Figure("stopped-memory", f"Most resident memory, limits.memory={MEMORY_BOUND_MIB}MiB (+ 16 MiB for the "
                    "process itself)", "MiB", goal=MEMORY_BOUND_MIB + 16)
    kinds = {"without": {"subs": 900}, "with stopped readers": {"subs": 1000, "stopped": 10}}
    found, peak = {name: [] for name in kinds}, {name: [] for name in kinds}
    # Larger messages and a longer warm-up: it takes megabytes until a reader's socket and queue are full.
    load = {"size": 1000, "duration": 1.5 if plan.quick else 5, "warmup": 1.2 if plan.quick else 3}
    for turn in range(2 if plan.quick else 5):
        for name in list(kinds)[::1 if turn % 2 == 0 else -1]:
            with rig.sluice(limits_memory=f"{MEMORY_BOUND_MIB}MiB") as server:
                found[name].append(rig.bench(server, **kinds[name], **load))
                peak[name].append(rig.status_bytes(server.pid, "VmHWM") / 2**20)
    pairs = zip(found["with stopped readers"], found["without"])
    rate.add("sluice", [100 * a["delivered_per_s"] / b["delivered_per_s"] for a, b in pairs], "pairs of runs in turns")
    for name in kinds:
        cpu.add(name, [1e3 * r["server_cpu_us_per_message"] for r in found[name]])
        memory.add(f"sluice, {name}", peak[name])
    return [rate, cpu, memory]


def router(plan):
    """bench_router: finding the receivers of a topic"""
    wild = 10000
    exact = 100000 if plan.quick else 1000000
    text = rig.tool("bench_router", exact, wild)
    figure = Figure("router", f"Router with {exact:,} exact and {wild:,} wildcard subscriptions", "ns", goal=2000,
                    goal_for="match")
    for name, value, note in re.findall(r"^((?:match|add) (?!and)[^:]+): ([\d.]+) ns each,? ?(.*)$", text, re.M):
        figure.add(name, [float(value)], note.strip("()"))
    return [figure]


def core(plan):
    """bench_fanout: the core without sockets"""
    figure = Figure("core", "The core alone, for each delivered message (links that throw bytes away)", "ns")
    text = rig.tool("bench_fanout")
    for line in text.splitlines():
        found = re.match(r"\s*(\d+ readers)\s+(\d+ a turn)\s+(\d+ B)\s+filter (\S+)\s+([\d.]+) ns", line)
        if found:
            figure.add(f"{found[1]}, {found[2]}, {found[3]}, {found[4]}", [float(found[5])])
    return [figure]


def latency(plan):
    """From publisher to reader at moderate rates"""
    figure = Figure("latency", "Latency from publisher to reader", "ms")
    for subs, rate in ((100, 100), (100, 1000), (1000, 100)):
        with rig.sluice() as server:
            r = rig.bench(server, subs=subs, rate=rate, duration=1 if plan.quick else 10, warmup=0.5)
        for name in ("p50", "p99"):
            figure.add(f"{subs:,} readers, {rate:,} messages/s: {name}", [r[f"latency_{name}_ms"]],
                       f"p99.9 {r['latency_p99.9_ms']:.1f}, max {r['latency_max_ms']:.1f}" if name == "p99" else "")
    return [figure]


def variants(plan):
    """The same fan-out under TLS and on two workers"""
    figure = Figure("variants", "Server CPU for each delivered 128-byte message, as above, by sluice bench", "ns",
                    base="plain, one worker")
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        kinds = {"plain, one worker": ({}, True), "TLS, one worker": ({"tls": rig.certificate(folder)}, True),
                 "plain, two workers": ({"workers": 2, "pinned": False}, False)}
        found = {name: [] for name in kinds}
        for _ in range(1 if plan.quick else plan.runs):
            for name, (settings, pinned) in kinds.items():
                with rig.sluice(**settings) as server:
                    found[name].append(rig.bench(server, pinned, **FANOUT, **plan.times))
    for name, results in found.items():
        figure.add(name, [1e3 * r["server_cpu_us_per_message"] for r in results], rate_of(results))
    return [figure]


SHAPES = {
    "10 readers": {"subs": 10},
    "1,000 topics, 1 reader each": {"subs": 1000, "topics": 1000},
    "100 publishers, 10 readers": {"subs": 10, "pubs": 100},
    "100 publishers, 100 topics": {"subs": 100, "pubs": 100, "topics": 100},
    "1,000 readers of a wildcard": {"subs": 1000, "topics": 100, "wild": True},
    "16 KiB, 100 readers": {"subs": 100, "size": 16384},
}


def shapes(plan):
    """Other shapes of load, in full with the peers"""
    figure = Figure("shapes", "Server CPU for each delivered message, 128 bytes where not said otherwise", "ns")
    servers = {"sluice": rig.sluice, **({} if plan.quick else plan.peers)}
    for shape, options in SHAPES.items():
        found = {server: [] for server in servers}
        for _ in range(1 if plan.quick else plan.runs):
            for kind, start in servers.items():
                with start() as server:
                    found[kind].append(rig.peer_load(server, **options, duration=0.4 if plan.quick else 2, warmup=0.2))
        for kind, results in found.items():
            figure.add(f"{shape}: {kind}", [1e3 * r["server_cpu_us_per_message"] for r in results], rate_of(results))
    return [figure]


PARTS = {**{part.__name__: part for part in (fanout, idle, stopped, latency, variants, shapes, router, core)},
         **figures_log.PARTS}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="short runs; everything below two minutes")
    parser.add_argument("--only", metavar="PART[,PART]", help="some parts; --list names them")
    parser.add_argument("--list", action="store_true", help="name the parts")
    args = parser.parse_args()
    args.parts = args.only.split(",") if args.only else list(PARTS)
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; these are: {', '.join(PARTS)}")
    return args


def measure(plan, names):
    """Prints each part when it is there. Returns (figures, troubles)."""
    figures, troubles = [], []
    for name in names:
        began = time.monotonic()
        try:
            made = PARTS[name](plan)
        except (rig.Misbehaved, rig.Failed, OSError) as error:
            troubles.append(f"{name}: {error}")
            print(f"\n!! {troubles[-1]}", flush=True)
            continue
        figures += made
        print(f"\n== {name}, {time.monotonic() - began:.0f} s", end="")
        for figure in made:
            print("\n" + "\n".join(report.figure_lines(figure)), flush=True)
    return figures, troubles


def main():
    args = arguments()
    if args.list:
        print("\n".join(f"{name:15} {part.__doc__}" for name, part in PARTS.items()))
        return 0
    with ExitStack() as keep:
        return report_all(args, Plan(args.quick, keep))


def report_all(args, plan):
    began, machine = time.monotonic(), rig.machine()
    mode = "quick: short runs, take the digits with care" if args.quick else "full"
    print(f"Sluice's figures ({mode}), on\n" + "\n".join(report.machine_lines(machine)))
    for package in plan.absent:
        print(f"!! {package} IS NOT INSTALLED: no comparison with it. apt-get install {package}")
    figures, troubles = measure(plan, args.parts)
    machine["load_average_after"] = round(os.getloadavg()[0], 2)
    folder = Path(os.environ.get("SLUICE_ARTIFACTS") or os.environ.get("ARTIFACTS") or rig.ROOT / "build/artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    report.write_json(folder / "figures.json", machine, mode, figures, troubles, plan.absent)
    for figure in figures:
        if figure.id == "fanout":
            report.write_plot(folder / "fanout.svg", figure, machine)
    print(f"\n{len(figures)} figures in {time.monotonic() - began:.0f} s, load average now "
          f"{machine['load_average_after']}; they are in {os.path.relpath(folder)}/figures.json")
    for trouble in troubles:
        print(f"TROUBLE {trouble}")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
