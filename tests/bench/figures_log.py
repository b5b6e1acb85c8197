"""The figures of the log on disk. What a disk bounds stands beside what the same disk gives without a broker, measured
in the same run: disks differ more than processors do, and one disk differs from minute to minute."""
from statistics import median

import stores
from report import Figure

WAL_PAGE = 4096 + 24  # what SQLite writes for a changed page
RATE_GOAL = 60000
SEARCHED = 300000  # messages in a file that is still small enough to be searched through at a start
BATCH = 1024  # where the broker's transactions cannot be counted
LOAD = {"conns": 64, "window": 16}


def runs(plan):
    return 1 if plan.quick else plan.runs


def times(plan):
    return {"duration": 1, "warmup": 0.4} if plan.quick else {"duration": 5, "warmup": 1}


def stored(plan):
    return 200000 if plan.quick else 1000000


# ---- publishing --------------------------------------------------------------------------------------------------

def durable_load(plan, topics):
    with stores.data_folder() as folder, stores.sluice(folder) as server:
        result = stores.load(server, "publish", prefix="disk", topics=topics, **LOAD, **times(plan))
    result["batch"] = max(1, round(result["acked"] / result["commits"])) if result["commits"] else BATCH
    return result


def raw_commits(plan, batch, **options):
    with stores.data_folder() as folder:
        return stores.raw("commits", folder, batch=batch, duration=times(plan)["duration"], **options)


def durable(plan):
    """Acknowledged publishes to topics on disk: how many, and what each costs"""
    found = {f"sluice, {n} topic{'s' * (n > 1)}": [] for n in (64, 1)}
    alone, indexed = [], []
    for _ in range(runs(plan)):
        for name, results in found.items():
            results.append(durable_load(plan, int(name.split()[1])))
        batch = found["sluice, 64 topics"][-1]["batch"]
        alone.append(raw_commits(plan, batch))
        indexed.append(raw_commits(plan, batch, index=True, topics=64))
    limit = median(r["rows_per_s"] for r in alone)
    rate = Figure("durable", "Acknowledged durable publishes of 128 bytes from 64 connections with 16 in flight each; "
                  + stores.place_line(), "publishes/s", base="SQLite alone", goal=min(limit / 2, RATE_GOAL),
                  higher_is_better=True)
    cpu = Figure("durable-cpu", "Broker CPU for each of them, all threads", "µs", base="SQLite alone")
    for name, results, note in (("SQLite alone", alone, "as many rows a commit as the broker had, one table"),
                                ("SQLite alone, indexed", indexed, "by 64 topics, as the broker's table is")):
        rate.add(name, [r["rows_per_s"] for r in results], note)
        cpu.add(name, [r["cpu_us_per_row"] for r in results])
    for name, results in found.items():
        rate.add(name, [r["acked_per_s"] for r in results],
                 f"{median(r['batch'] for r in results):.0f} a commit, ack p50 "
                 f"{median(r['ack_p50_ms'] for r in results):.1f} ms, "
                 f"p99 {median(r['ack_p99_ms'] for r in results):.1f}")
        cpu.add(name, [r["server_cpu_us_per_message"] for r in results],
                f"{median(r['server_cores'] for r in results):.2f} cores")
    return [rate, cpu]


def durable_latency(plan):
    """How long a durable publish takes until it is acknowledged"""
    many, lone, commits, flushes = [], [], [], []
    short = {"duration": 0.7 if plan.quick else 3}
    for _ in range(runs(plan)):
        with stores.data_folder() as folder:
            commits.append(stores.raw("commits", folder, batch=1, index=True, **short))
            size = round(commits[-1]["pages_per_commit"] * WAL_PAGE)
            flushes.append(stores.raw("flush", folder, size=size, **short))
            with stores.sluice(folder) as server:
                for conns, results in ((64, many), (1, lone)):
                    results.append(stores.load(server, "publish", prefix="disk", topics=conns, conns=conns, window=1,
                                               warmup=0.3, **short))
    busy = Figure("durable-latency", "From a durable publish to its acknowledgement, 64 connections with one in flight "
                  "each; " + stores.place_line(), "ms", goal=20, goal_for="sluice, p99")
    for name in ("p50", "p99", "max"):
        busy.add(f"sluice, {name}", [r[f"ack_{name}_ms"] for r in many],
                 f"{median(r['acked_per_s'] for r in many):,.0f} publishes/s" if name == "p50" else "")
    idle = Figure("durable-idle", "The same for a single publisher and nobody else, median", "ms",
                  base="write and flush")
    idle.add("write and flush", [r["commit_p50_ms"] for r in flushes], f"{size:,} bytes, p99 "
             f"{median(r['commit_p99_ms'] for r in flushes):.1f}")
    idle.add("SQLite alone, one row", [r["commit_p50_ms"] for r in commits],
             f"p99 {median(r['commit_p99_ms'] for r in commits):.1f}")
    idle.add("sluice", [r["ack_p50_ms"] for r in lone], f"p99 {median(r['ack_p99_ms'] for r in lone):.1f}")
    return [busy, idle]


# ---- reading -----------------------------------------------------------------------------------------------------

def replay(plan):
    """Everything that is stored, to one reader"""
    live_rate = 2000
    rate = Figure("replay", f"Replay of {stored(plan):,} stored messages of 128 bytes to one reader; "
                  + stores.place_line(), "messages/s", goal=200000, higher_is_better=True)
    cpu = Figure("replay-cpu", "Broker CPU for each of them", "µs")
    for topics, name in ((1, "sluice, 1 topic"), (100, "sluice, 100 topics by wildcard")):
        store = plan.stores.get(stored(plan), topics)
        rows = {", not in memory": ({"duration": 0}, True), "": ({"duration": 0.6 if plan.quick else 5}, False),
                f", {live_rate:,}/s live": ({"duration": 0, "live": live_rate, "window": 256}, False)}
        for kind, (options, cold) in rows.items():
            found = []
            for _ in range(runs(plan)):
                with store.use(cold) as server:
                    found.append(store.replay(server, **options))
            rate.add(name + kind, [r["replayed_per_s"] for r in found])
            cpu.add(name + kind, [r["server_cpu_us_per_message"] for r in found])
    return [rate, cpu]


def start(plan):
    """From the start of the process to ready, with what is stored"""
    figure = Figure("start", "Start with stored messages of 128 bytes, files not in memory; " + stores.place_line(),
                    "s", goal=5)
    # The engine searches through small files at each start, so more messages may start sooner.
    shapes = [(stored(plan), 1), (stored(plan), 100000)] + ([] if plan.quick else [(SEARCHED, 1)])
    for count, topics in shapes:
        store, found = plan.stores.get(count, topics), {"": [], ", after kill -9": []}
        for _ in range(runs(plan)):
            for results in found.values():
                with store.use(cold=True) as server:
                    results.append(server.start_s)
                    if results is found[""]:  # so that the next start finds changes not yet in the database
                        stores.load(server, "publish", prefix="disk-short", duration=0.5, warmup=0, **LOAD)
                        server.kill()
        for kind, results in found.items():
            figure.add(f"sluice, {count:,} on {topics:,} topic{'s' * (topics > 1)}{kind}", results,
                       f"{stores.megabytes(store.folder):,.0f} MB")
    return [figure]


# ---- both at once ------------------------------------------------------------------------------------------------

def stall_load(plan, server, store, prefix, rate=0, every=0):
    """A probe while everything else goes on: publishes to short logs, replays of the long one."""
    seconds = 2 if plan.quick else 20
    publish = {"prefix": prefix + "-short", "topics": 64, "duration": seconds, "warmup": 0, "rate": rate, **LOAD}
    replayed = {"prefix": prefix, "count": store.count, "topics": store.topics, "duration": seconds,
                "every": every}
    return stores.loads(server, ("probe", {"conns": 4, "duration": seconds}), ("publish", publish),
                        ("replay", replayed))


def stalls(plan):
    """How long a worker does not answer while the log on disk is written, trimmed and replayed"""
    store = plan.stores.get(stored(plan), 1)
    with store.use() as server:
        on_disk = stall_load(plan, server, store, "disk")
    with stores.data_folder() as folder, stores.sluice(folder) as server:
        stores.load(server, "publish", prefix="memory", count=store.count, **LOAD)
        in_memory = stall_load(plan, server, store, "memory", max(1, int(on_disk[1]["acked_per_s"])),
                               on_disk[2]["seconds"] / on_disk[2]["rounds"])
    figure = Figure("stalls", "Time from a ping to its pong, one a millisecond, while 64 connections publish to logs "
                    "of 1,000 messages and all of a long log is replayed; " + stores.place_line(), "ms", goal=50,
                    goal_for="sluice, on disk: longest")
    for kind, (probe, published, replayed) in (("on disk", on_disk), ("in memory", in_memory)):
        notes = (f"the probe itself was late by up to {probe['late_max_ms']:.1f}", f"{probe['pings']:,} pings",
                 f"beside {published['acked_per_s']:,.0f} publishes/s and {replayed['rounds']} replays")
        for name, key, note in zip(("longest", "p99.9", "p50"), ("max", "p99.9", "p50"), notes):
            figure.add(f"sluice, {kind}: {name}", [probe[f"pong_{key}_ms"]], note)
    return [figure]


PARTS = {"durable": durable, "durable-latency": durable_latency, "replay": replay, "start": start, "stalls": stalls}
