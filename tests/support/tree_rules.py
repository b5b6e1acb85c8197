#!/usr/bin/python3
"""Rules of the tree that a machine can check: sizes of files and functions, words, paths, layers."""
import re
import sys
from pathlib import Path

SOURCES = ("broker", "protocol", "storage", "clients", "tests", "deploy")
KINDS = {".c", ".h", ".def", ".py", ".js", ".mjs", ".ts", ".sh", ".cmake", ".md", ".html", ".css", ".yaml", ".yml"}
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE = re.compile(r"(^|[^a-z.\w/])/(wo" r"rk|ro" r"ot|ho" r"me)/|https?://[^/ \"]*(npm" r"js|pypi|debian)[^/ \"]*/")
CORE_FORBIDS = re.compile(r'#include\s*[<"](libwebsockets|ev|sqlite3|hiredis|jansson|cbor|openssl|sys/socket|time)\b')
SIBLINGS = re.compile(r'#include\s*"(protocol|storage)/(\w+)/')
HEAD = re.compile(r"^[a-zA-Z_].*\)\s*\{?\s*$")


def files(root):
    for top in SOURCES:
        for path in sorted((root / top).rglob("*")):
            if path.is_file() and "node_modules" not in path.parts and "corpus" not in path.parts:
                yield path


def long_functions(lines):
    name, start = None, None
    for number, line in enumerate(lines, 1):
        if HEAD.match(line) and not line.startswith(("#", "/", "*")):
            name = line.strip()[:70]
        if line.startswith("{") or HEAD.match(line) and line.rstrip().endswith("{"):
            start = number
        if line.startswith("}") and start:
            if number - start > 80:
                yield start, number - start, name
            start = None


def faults_of(path, relative):
    if path.suffix not in KINDS and path.name != "CMakeLists.txt":
        return
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        yield f"{relative}: not UTF-8"
        return
    if len(lines) > 800 and path.name != "package-lock.json":
        yield f"{relative}: {len(lines)} lines; at most 800"
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield f"{relative}:{number}: a word that says it is not finished: {line.strip()[:80]}"
        if MACHINE.search(line):
            yield f"{relative}:{number}: a machine's path or a registry's address: {line.strip()[:80]}"
        if relative.parts[:2] == ("broker", "core") and CORE_FORBIDS.search(line):
            yield f"{relative}:{number}: the core includes {line.strip()}"
        sibling = SIBLINGS.search(line)
        if sibling and relative.parts[0] == sibling[1] and len(relative.parts) > 2 and relative.parts[1] != sibling[2]:
            yield f"{relative}:{number}: a sibling is included: {line.strip()}"
    if path.suffix == ".c":
        for start, size, name in long_functions(lines):
            yield f"{relative}:{start}: {size} lines in a function, at most 80: {name}"


def main():
    root = Path(__file__).resolve().parent.parent.parent
    faults = [fault for path in files(root) for fault in faults_of(path, path.relative_to(root))]
    for lock in root.rglob("package-lock.json"):
        if "node_modules" not in lock.parts and '"resolved"' in lock.read_text():
            faults.append(f"{lock.relative_to(root)}: holds download addresses")
    print("\n".join(faults) or "no fault")
    return 1 if faults else 0


sys.exit(main())
