#!/usr/bin/python3
"""Counts the tests inside ctest's programs: Criterion's synthesis line where there is one, else one a program.

usage: ctest_results.py SUITE JUNIT RESULTS
"""
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SYNTHESIS = re.compile(r"Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BAD = re.compile(r"\[FAIL\] (\w+::[\w-]+)")


def outcome(test):
    """(passed, [names of failures], output) of one program."""
    output = COLOUR.sub("", "".join(part.text or "" for part in test.iter("system-out")))
    failed = test.get("status") not in ("run", "skipped", "notrun") or test.find("failure") is not None
    found = SYNTHESIS.search(output)
    if not found:
        return (0, [""], output) if failed or test.get("status") != "run" else (1, [], output)
    passing, failing = int(found[2]), int(found[3])  # those that crash count as failing
    names = BAD.findall(output)[:failing]
    names += ["?"] * (failing - len(names))
    if failed and not names:
        names = ["(leak, finding or timeout)"]
    return passing, names, output


def main():
    suite, junit, results = sys.argv[1:]
    passed = failed = 0
    lines = []
    if not Path(junit).exists():
        lines.append(f"fail\t{suite}\tctest\t0\tit left no results\n")
        failed = 1
        tests = []
    else:
        tests = list(ElementTree.parse(junit).getroot().iter("testcase"))
        if not tests:
            lines.append(f"fail\t{suite}\tctest\t0\tit found no tests\n")
            failed = 1
    for test in tests:
        good, bad, output = outcome(test)
        name, seconds = test.get("name"), test.get("time", "0")
        lines += [f"pass\t{suite}\t{name} #{n + 1}\t{seconds}\t\n" for n in range(good)]
        lines += [f"fail\t{suite}\t{name} {b}\t{seconds}\tsee the log of the suite\n" for b in bad]
        passed, failed = passed + good, failed + len(bad)
        if bad:
            print(f"FAIL {name}")
            print("\n".join("     " + line for line in output.splitlines()[-60:]))
    with open(results, "a") as out:
        out.writelines(lines)
    print(f"{suite}: {passed} passed, {failed} failed in {len(tests)} programs")


main()
