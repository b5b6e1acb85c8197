"""Configuration: mistakes end the start at once and say where; --check-config, --print-config, environment, order."""
import re
import time

from support.broker import SLOW, run_once
from support.check import eq, has, ok
from support.runner import case, table

# name, file, what the message must name (patterns)
MISTAKES = [
    ("unknown key", "listen:\n  public: '127.0.0.1:0'\nworkrs: 2\n", [r"sluice\.yaml:3", "workrs", "workers"]),
    ("unknown key below", "listen:\n  publc: '127.0.0.1:0'\n", [r"sluice\.yaml:2", "publc", "public"]),
    ("unknown section", "\nlimts:\n  payload: 1MiB\n", [r"sluice\.yaml:2", "limts", "limits"]),
    ("unknown key of a rule", "topics:\n  - filter: 'a/#'\n    max-cont: 5\n", [r"sluice\.yaml:3", "max-cont", "max-count"]),
    ("wrong type", "workers: many\n", [r"sluice\.yaml:1", "workers"]),
    ("negative number", "workers: -1\n", [r"sluice\.yaml:1", "workers"]),
    ("too large", "workers: 100000\n", [r"sluice\.yaml:1", "workers"]),
    ("bad size", "limits:\n  payload: 1 elephant\n", [r"sluice\.yaml:2", "payload"]),
    ("bad duration", "timeouts:\n  login: soon\n", [r"sluice\.yaml:2", "login"]),
    ("bad choice", "topics:\n  - filter: 'a'\n    overflow: explode\n", [r"sluice\.yaml:3", "overflow", "pause"]),
    ("bad choice, near", "topics:\n  - filter: 'a'\n    log: memry\n", [r"sluice\.yaml:3", "memry", "memory"]),
    ("bad filter", "topics:\n  - filter: 'a/#/b'\n", [r"sluice\.yaml:2", "filter"]),
    ("rule without filter", "topics:\n  - log: memory\n", [r"sluice\.yaml:2", "filter"]),
    ("filter twice", "topics:\n  - filter: 'a'\n  - filter: 'a'\n", [r"sluice\.yaml:3", "a"]),
    ("key twice", "workers: 1\nnode: x\nworkers: 2\n", [r"sluice\.yaml:3", "workers"]),
    ("bad address", "listen:\n  public: 'nowhere'\n", [r"sluice\.yaml:2", "public"]),
    ("port too large", "listen:\n  public: '127.0.0.1:99999'\n", [r"sluice\.yaml:2", "public"]),
    ("bad network", "trusted-proxies: ['10.0.0.0/40']\n", [r"sluice\.yaml:1", "trusted-proxies"]),
    ("bad origin", "origins: ['example.org']\n", [r"sluice\.yaml:1", "origins"]),
    ("no YAML", "a: [1, 2\nb: }\n", [r"sluice\.yaml:[12]"]),
    ("tab", "listen:\n\tpublic: x\n", [r"sluice\.yaml:2"]),
    ("a list at the top", "- a\n- b\n", [r"sluice\.yaml:1"]),
    ("a text at the top", "just text\n", [r"sluice\.yaml:1"]),
    ("a map where a value belongs", "workers: {a: 1}\n", [r"sluice\.yaml:1", "workers"]),
    ("an alias bomb", "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n", [r"sluice\.yaml:"]),
    ("not UTF-8 escaped", "node: \"\\ud800\"\n", [r"sluice\.yaml:1"]),
    ("frame below payload", "limits:\n  frame: 2KiB\n  payload: 1MiB\n", ["frame", "payload"]),
    ("a certificate without a key", "tls:\n  certificate: x.pem\n", ["key"]),
]


@table([(name, text, wanted, check) for name, text, wanted in MISTAKES for check in (False,)])
def mistakes_in_the_file(t, broker, text, wanted, check):
    code, out, err, seconds = run_once("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", config=text)
    ok(code not in (0, None) and code > 0, f"exit code {code}", err)
    ok(seconds < 1.0 * SLOW, f"took {seconds:.2f} s")
    eq("ready" in out, False, "said ready")
    for pattern in wanted:
        ok(re.search(pattern, err), f"the message does not name {pattern}", err)
    ok(len(err.strip().splitlines()) <= 8, "more than a few lines", err)


FLAGS = [
    ("unknown flag", ["--lisen", "127.0.0.1:0"], ["--lisen", "--listen"]),
    ("unknown option in --set", ["--set", "limits.paylod=1MiB"], [r"limits\.paylod", r"limits\.payload"]),
    ("bad value in --set", ["--set", "limits.payload=lots"], [r"limits\.payload", "lots"]),
    ("--set without =", ["--set", "workers"], ["--set"]),
    ("--set without argument", ["--set"], ["--set"]),
    ("no such file", ["--config", "missing.yaml"], [r"missing\.yaml"]),
    ("a folder as file", ["--config", "."], [r"\."]),
    ("bad --listen", ["--listen", "127.0.0.1"], ["listen"]),
    ("an address that is not ours", ["--listen", "192.0.2.1:0"], [r"192\.0\.2\.1"]),
    ("--dev on an open address", ["--dev", "--listen", "0.0.0.0:0"], ["loopback|dev"]),
    ("bad --workers", ["--workers", "x"], ["workers"]),
    ("something left over", ["serve"], ["serve"]),
    ("no such certificate", ["--set", "tls.certificate=missing.pem", "--set", "tls.key=missing.key", "--listen", "127.0.0.1:0"], ["missing"]),
]


@table(FLAGS)
def mistakes_on_the_command_line(t, broker, flags, wanted):
    code, out, err, seconds = run_once(*flags, *([] if "--listen" in flags or "--lisen" in flags else ["--listen", "127.0.0.1:0"]),
                                       "--admin", "127.0.0.1:0")
    ok(code > 0, f"exit code {code}", out, err)
    ok(seconds < 1.0 * SLOW, f"took {seconds:.2f} s")
    for pattern in wanted:
        ok(re.search(pattern, err), f"the message does not name {pattern}", err)


@case
def a_mistake_in_the_environment_names_the_variable(t):
    code, _, err, _ = run_once("--check-config", env={"SLUICE_LIMITS_PAYLOAD": "lots"})
    ok(code > 0, f"exit code {code}")
    ok("SLUICE_LIMITS_PAYLOAD" in err, "the message does not name the variable", err)


@case
def several_mistakes_are_told_together(t):
    code, _, err, _ = run_once("--check-config", config="workers: x\nlimits:\n  payload: y\n  nothing: 1\n")
    ok(code > 0, f"exit code {code}")
    for number in (1, 3, 4):
        ok(f"sluice.yaml:{number}" in err, f"line {number} is not named", err)


GOOD = ["", "{}", "# nothing\n", "workers: 2\n", "listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' }\n",
        "data: data\ntopics:\n  - filter: 'prices/#'\n    log: memory\n    max-count: 100000\n    max-bytes: 64MiB\n    max-age: 24h\n    overflow: pause\n",
        "limits: {payload: 2MiB, frame: 4MiB}\n", "origins: ['https://app.example', 'http://intra:8000']\n"]


@table([(text.strip()[:40] or "(empty)", text) for text in GOOD])
def check_config_of_a_good_file(t, broker, text):
    code, _, err, seconds = run_once("--check-config", config=text)
    eq(code, 0, f"exit code; {err}")
    ok(seconds < 1.0 * SLOW, f"took {seconds:.2f} s")


@case
def print_config_loads_again_and_says_whence(t):
    text = "workers: 3\ntopics:\n  - filter: 'p/#'\n    log: memory\n    max-count: 7\n"
    code, first, err, _ = run_once("--print-config", "--set", "limits.payload=2MiB", "--set", "limits.frame=5MiB", config=text,
                                   env={"SLUICE_NODE": "from-env"})
    eq(code, 0, f"exit code; {err}")
    for pattern in (r"workers: 3", r"payload: .*2", r"from-env", r"max-count: 7", r"p/#"):
        ok(re.search(pattern, first), f"{pattern} is not printed", first)
    code, second, err, _ = run_once("--print-config", config=first)
    eq(code, 0, f"what was printed does not load: {err}")

    def bare(text):
        return [re.sub(r"\s*#.*", "", line) for line in text.splitlines() if re.sub(r"\s*#.*", "", line).strip()]
    eq(bare(second), bare(first), "printed again")


@case
def later_sources_win(t):
    """default < file < environment < command line"""
    text = "node: file\n"
    for flags, env, want in (((), {}, "file"), ((), {"SLUICE_NODE": "env"}, "env"), (("--set", "node=flag"), {"SLUICE_NODE": "env"}, "flag")):
        code, out, err, _ = run_once("--print-config", *flags, config=text, env=env)
        eq(code, 0, f"exit code; {err}")
        ok(re.search(rf"^node: .*{want}", out, re.M), f"node is not {want}", out)


@table([("--version", ["--version"], r"\d+\.\d+\.\d+"), ("--help", ["--help"], r"--config[\s\S]*--dev[\s\S]*--check-config")])
def asked_for_information(t, broker, flags, pattern):
    code, out, err, _ = run_once(*flags)
    eq(code, 0, f"exit code; {err}")
    ok(re.search(pattern, out), "text", out)


@case
def a_port_in_use_is_named(t):
    broker = t.broker()
    address = "%s:%d" % broker.public
    code, _, err, seconds = run_once("--dev", "--listen", address, "--admin", "127.0.0.1:0")
    ok(code > 0, f"exit code {code}")
    ok(str(broker.public[1]) in err, "the address is not named", err)
    ok(seconds < 1.5 * SLOW, f"took {seconds:.2f} s")
    has(t.client(broker).call("ping"), op="pong")


@case
def ready_comes_once_and_after_it_serves(t):
    for dev in (True, False):
        broker = t.broker(dev=dev, settings={"drain.settle": "0s", "anonymous.subscribe": "#"})
        has(t.client(broker).call("ping"), op="pong")
        time.sleep(0.1)
        eq([line for line in broker.lines if line.startswith("ready")], broker.lines[:1], "lines on stdout")


@case
def environment_sets_options_of_a_running_broker(t):
    broker = t.broker(env={"SLUICE_LIMITS_PAYLOAD": "12345"})
    eq(t.client(broker).hello["limits"]["payload"], 12345, "limit in hello")
