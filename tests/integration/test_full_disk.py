"""A small disk that is full for real: publishes are refused while there is no room, go on once there is, and nothing that was
acknowledged is missing. The disk is a tmpfs in a mount namespace of the test's own, so that it goes with the test."""
import ctypes
import os
import subprocess
import time

from support import wire
from support.broker import SLOW
from support.check import eq, has, ok
from support.ledger import Ledger, read_history
from support.runner import case
from support.sluice_client import Client

CONFIG = {"topics": [{"filter": "d/#", "log": "disk"}, {"filter": "memory/#", "log": "memory"}]}
DISK, BALLAST, RESERVE = 16 << 20, 5 << 20, 4 << 20
CLONE_NEWNS = 0x00020000


def mount_small_disk(t, folder):
    if os.geteuid() != 0:
        t.skip("a small disk can be mounted by root only")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        t.skip(f"this machine gives no mount namespace: {os.strerror(ctypes.get_errno())}")
    for command in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            t.skip(f"{' '.join(command)}: {done.stderr.strip()}")


class Writer:
    def __init__(self, client, ledger):
        self.client, self.ledger, self.number = client, ledger, 0

    def publish(self, topic, size):
        """Whether it was stored; refused is the other answer that it may get."""
        self.number += 1
        data = self.ledger.send(topic, "w", self.number, size)
        answer = self.client.call("pub", topic=topic, data=data, timeout=10 * SLOW)
        if answer["op"] == "ok":
            self.ledger.acknowledged(topic, f"w.{self.number}", answer)
            return True
        has(answer, "answer to a publish on a full disk", op="err", code="unavailable", status=503)
        return False

    def until(self, stored, seconds, size, what):
        end = time.monotonic() + seconds * SLOW
        while self.publish(f"d/{self.number % 3}", size) != stored:
            ok(time.monotonic() < end, what)
            if stored:
                time.sleep(0.02)


def readyz(broker):
    return wire.http(broker.admin, target="/readyz", timeout=10 * SLOW)


def check_everything(broker, ledger):
    client = Client(broker.public, timeout=20 * SLOW)
    for topic in sorted(ledger.sent):
        ledger.check(topic, read_history(client, topic, page=100))
    client.abort()


def fill_and_make_room(broker, writer, ballast, other):
    writer.until(False, 60, 40000, "the disk does not fill up")
    for n in range(20):
        has(other.call("pub", topic="memory/a", data=n, timeout=10 * SLOW), "memory topic on a full disk", op="ok")
        writer.publish("d/0", 40000)
    reply = readyz(broker)
    eq(reply.status, 503, "status of /readyz on a full disk")
    ok(b"full" in reply.body or b"space" in reply.body or b"room" in reply.body, "/readyz does not name the cause", reply.body)
    check_everything(broker, writer.ledger)  # reading goes on
    ballast.unlink()
    writer.until(True, 10, 1000, "publishes are still refused 10 s after there was room")
    end = time.monotonic() + 10 * SLOW
    while readyz(broker).status != 200:
        ok(time.monotonic() < end, "publishes succeed, but /readyz does not", readyz(broker).body)
        time.sleep(0.02)


@case(timeout=150)
def a_full_disk_refuses_publishes_until_there_is_room(t):
    folder = t.folder()
    mount_small_disk(t, folder)
    ballast, reserve, data = folder / "ballast", folder / "reserve", folder / "data"
    reserve.write_bytes(bytes(RESERVE))
    ledger = Ledger("full disk")
    broker = t.broker(config=CONFIG, data=data)
    client, other = t.client(broker), t.client(broker)
    writer = Writer(client, ledger)
    for _ in range(2):
        ballast.write_bytes(bytes(min(BALLAST, os.statvfs(folder).f_bavail * 4096 // 2)))
        fill_and_make_room(broker, writer, ballast, other)
        for _ in range(10):
            ok(writer.publish("d/1", 2000), "refused although there is room")
    check_everything(broker, ledger)
    client.abort()
    other.abort()
    # At the end it carries its log of changes over into the file. Without room for that it ends all the same, but the
    # disk is then as full as on that other start below.
    reserve.unlink()
    broker.stop()
    broker = t.broker(config=CONFIG, data=data)
    check_everything(broker, ledger)
    writer = Writer(t.client(broker), ledger)
    writer.number = 1 << 20
    ok(writer.publish("d/0", 100), "refused after the restart")
    check_everything(broker, ledger)


@case(timeout=60)
def a_start_on_a_full_disk_says_so(t):
    """It starts and refuses, or says what is missing; both leave the file as it was."""
    folder = t.folder()
    mount_small_disk(t, folder)
    data, ledger = folder / "data", Ledger("start on a full disk")
    broker = t.broker(config=CONFIG, data=data)
    writer = Writer(t.client(broker), ledger)
    for _ in range(20):
        ok(writer.publish("d/0", 1000), "refused although there is room")
    broker.kill()
    broker.stop()
    free = os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(free.f_bavail * free.f_bsize))
    broker = t.broker(config=CONFIG, data=data, wait=False)
    ok(broker.ready.wait(15 * SLOW), "it neither starts nor ends")
    if hasattr(broker, "public"):
        check_everything(broker, ledger)
        broker.kill()
    else:
        broker.exit_expected = None
        ok((broker.wait_exit(15 * SLOW) or 0) > 0, "it ends with a failure")
        ok("space" in broker.log_text() or "full" in broker.log_text(), "it does not say why", broker.log_text())
    broker.stop()
    (folder / "ballast").unlink()
    broker = t.broker(config=CONFIG, data=data)
    check_everything(broker, ledger)
