"""Disks that fail: the preloaded library's switchboard, and what a disk may hold after a power cut."""
import functools
import mmap
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

from .broker import program
from .check import ok

# The order is that of the library's enums.
KINDS = ("open", "read", "write", "sync", "truncate", "allocate", "unlink", "rename", "mkdir")
EIO, SHORT, LOSE, FULL, DROP = 1, 2, 3, 4, 5
SECTOR = 512
SOURCES = [Path(__file__).parent / name for name in ("disk_faults.c", "disk_record.c")]


@functools.lru_cache(maxsize=None)
def library():
    """In the build under test; made there by hand where that was configured without tests."""
    root = Path(__file__).resolve().parent.parent.parent
    builds = [b for b in (Path(program()).parent.parent, root / "build") if (b / "CMakeCache.txt").exists()]
    ok(builds, "there is no build folder for the fault library", program())
    found = builds[0] / "lib" / "libdisk_faults.so"
    if found.exists() and found.stat().st_mtime >= max(s.stat().st_mtime for s in SOURCES):
        return found
    made = found.with_name(f"{found.name}.{os.getpid()}")
    command = [os.environ.get("CC", "cc"), "-std=c11", "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC", "-fvisibility=hidden", "-I",
               str(root), "-o", str(made), *map(str, SOURCES), "-pthread"]
    built = subprocess.run(command, capture_output=True, text=True)
    ok(built.returncode == 0, "the fault library does not compile", built.stderr)
    made.replace(found)
    return found


def sanitizer_runtimes():
    """They must be loaded first."""
    listed = subprocess.run(["ldd", program()], capture_output=True, text=True).stdout
    return re.findall(r"=> (\S*/lib[at]san\.so\S*)", listed)


class Faults:
    """The switchboard of one or several runs on one folder. env() goes to the broker."""

    def __init__(self, folder, watched, trace=False):
        self.folder, self.watched = Path(folder), Path(watched)
        self.keeps_traces, self.traces = trace, []
        path = self.folder / "control"
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.library = str(library())
        self.fixed_env = {"LD_PRELOAD": " ".join([*sanitizer_runtimes(), self.library]),
                          "DISK_FAULTS_DIR": str(self.watched), "DISK_FAULTS_CONTROL": str(path)}

    def env(self):
        """For one start. Each has a trace of its own: the kill may leave half a record at its end."""
        if not self.keeps_traces:
            return self.fixed_env
        self.traces.append(self.folder / f"trace{len(self.traces)}")
        self.traces[-1].write_bytes(b"")
        return {**self.fixed_env, "DISK_FAULTS_TRACE": str(self.traces[-1])}

    def take_traces(self):
        """Of all starts since the last time, in order."""
        taken = [trace.read_bytes() for trace in self.traces]
        self.traces = []
        return taken

    def close(self):
        self.page.close()

    def _word(self, at):
        return struct.unpack_from("=Q", self.page, at * 8)[0]

    def _set(self, at, value):
        struct.pack_into("=Q", self.page, at * 8, value)

    def arm(self, kinds, nth, fault, stays=False):
        """The nth call of these kinds from now on fails that way; stays: all later ones too, until clear()."""
        self._set(1, 0)
        self._set(0, sum(1 << KINDS.index(kind) for kind in kinds))
        self._set(2, fault)
        self._set(3, int(stays))
        self._set(4, 0)
        self._set(5, 0)
        self._set(1, nth)

    def clear(self):
        self._set(1, 0)

    @property
    def hits(self):
        return self._word(5)

    def calls(self):
        return {kind: self._word(6 + at) for at, kind in enumerate(KINDS)}


# ---- power cuts ----

HEAD = struct.Struct("=IIQQQ")
CREATE, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, UNLINK, RENAME, DROP_NOTED = range(1, 9)


def records(data):
    """(op, file, at, name, bytes); a record that the kill cut off ends it."""
    at = 0
    while at + HEAD.size <= len(data):
        op, name_size, file, place, size = HEAD.unpack_from(data, at)
        start = at + HEAD.size + name_size
        if start + size > len(data):
            return
        yield op, file, place, data[at + HEAD.size:start].decode(), data[start:start + size]
        at = start + size


def put(content, at, data):
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at:at + len(data)] = data


class File:
    """Content as of the last sync, and what was done since: (place, bytes) or (size, None)."""

    def __init__(self, inode, content=b""):
        self.inode, self.synced, self.pending, self.begun = inode, bytearray(content), [], {}

    def apply(self, change):
        at, data = change
        if data is not None:
            put(self.synced, at, data)
        elif at <= len(self.synced):
            del self.synced[at:]
        else:
            self.synced.extend(bytes(at - len(self.synced)))

    def sync_begins(self, number):
        self.begun[number] = len(self.pending)

    def dropped(self):
        """A flush failed: the system takes what was not on the disk for clean and never writes it."""
        self.pending, self.begun = [], {number: 0 for number in self.begun}

    def sync_ended(self, number):
        upto = self.begun.pop(number)
        for change in self.pending[:upto]:
            self.apply(change)
        del self.pending[:upto]
        self.begun = {n: max(0, place - upto) for n, place in self.begun.items()}


def sectors(at, data):
    """The change cut where sectors end."""
    while data:
        size = SECTOR - at % SECTOR
        yield at, data[:size]
        at, data = at + size, data[size:]


class PowerCut:
    """Follows traces from what the folder holds at its start; leave() puts into the folder what a disk might hold.

    Held is what was synced, with any part of what was not: whole, nothing, a beginning, or each sector by chance. Names
    survive in order: a journal loses the last changes of a folder, never one in the middle."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.names, self.files, self.inode = {}, {}, os.stat(folder).st_ino  # names: to one of files
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and not path.name.endswith("-shm"):
                self.files[path.stat().st_ino] = self.names[path.name] = File(path.stat().st_ino, path.read_bytes())
        self.changes, self.begun = [], {}

    def follow(self, traces):
        for op, file, at, name, data in (record for trace in traces for record in records(trace)):
            if op == CREATE:
                self.files[file] = File(file)  # a number of an unlinked one may come back: that one is another
                self.changes.append((name, None, self.files[file]))
            elif op == UNLINK:
                self.changes.append((name, None, None))
            elif op == RENAME:
                self.changes.append((name, data.decode(), None))
            elif file == self.inode and op == SYNC_BEGIN:
                self.begun[at] = len(self.changes)
            elif file == self.inode and op == SYNC_END:
                self._keep_names(self.begun.pop(at))
            elif file == self.inode:
                pass  # names stay to be written: that is the journal's affair
            else:
                self._follow_file(op, self.files.get(file), at, data)

    def _follow_file(self, op, file, at, data):
        ok(file is not None, "a trace with a file that was never opened")
        if op == WRITE:
            file.pending.append((at, data))
        elif op == TRUNCATE:
            file.pending.append((at, None))
        elif op == SYNC_BEGIN:
            file.sync_begins(at)
        elif op == SYNC_END:
            file.sync_ended(at)
        else:
            file.dropped()

    def _keep_names(self, upto):
        for name, new_name, file in self.changes[:upto]:
            if new_name is not None:
                self.names[new_name] = self.names.pop(name)
            elif file is not None:
                self.names[name] = file
            else:
                self.names.pop(name, None)
        del self.changes[:upto]
        self.begun = {n: max(0, place - upto) for n, place in self.begun.items()}

    def leave(self, dice):
        """Returns a line that says what was lost, for the failure's text."""
        unsynced = sum(len(f.pending) for f in self.names.values())
        names_kept = dice.randint(0, len(self.changes))
        lost_names = len(self.changes) - names_kept
        self._keep_names(names_kept)
        how = dice.choice(("nothing", "everything", "beginning", "sectors", "sectors", "sectors"))
        chance = dice.choice((0.1, 0.5, 0.9))
        for file in {id(f): f for f in self.names.values()}.values():
            self._settle(file, dice, how, chance)
        self._write(dice)
        return f"of {unsynced} unsynced changes: {how}, chance {chance}; {lost_names} changes of names lost"

    def _settle(self, file, dice, how, chance):
        pending = file.pending
        if how == "nothing":
            pending = []
        elif how == "beginning" and pending:
            whole = dice.randrange(len(pending))
            at, data = pending[whole]
            pending = pending[:whole] + ([(at, data[:dice.randrange(len(data) + 1)])] if data else [])
        elif how == "sectors":
            pieces = [p for at, data in pending for p in (sectors(at, data) if data is not None else [(at, None)])]
            pending = [p for p in pieces if dice.random() < chance]
        for change in pending:
            file.apply(change)
        file.pending, file.begun = [], {}

    def _write(self, dice):
        """In place: a database is known by its inode."""
        there = {p.stat().st_ino: p for p in self.folder.iterdir() if p.is_file()}
        aside = self.folder.with_name(self.folder.name + ".cut")
        aside.mkdir()
        for inode, path in there.items():
            path.rename(aside / str(inode))
        for name, file in self.names.items():
            target = self.folder / name
            if self.files[file.inode] is file and (aside / str(file.inode)).exists():
                (aside / str(file.inode)).rename(target)
            with open(target, "r+b" if target.exists() else "w+b") as out:
                out.write(file.synced)
                out.truncate()
            os.chmod(target, 0o600)
        for name in [n for n in self.names if n.endswith(".db")]:
            if dice.random() < 0.5:  # nobody syncs it: it may hold anything
                (self.folder / (name + "-shm")).write_bytes(dice.randbytes(32768))
                os.chmod(self.folder / (name + "-shm"), 0o600)
        shutil.rmtree(aside)
