"""Clients that nobody here wrote: python3-websockets and curl."""
import asyncio
import json
import subprocess

import websockets

from support.broker import SLOW
from support.check import eq, has, ok
from support.runner import case


@case
def python_websockets_publishes_and_reads(t):
    broker = t.broker()
    url = "ws://%s:%d/ws" % broker.public

    async def run():
        async with websockets.connect(url, subprotocols=["sluice.v1.json"]) as reader, websockets.connect(url) as writer:
            eq(reader.subprotocol, "sluice.v1.json", "subprotocol")
            eq(writer.subprotocol, None, "subprotocol when none was offered")
            await reader.send('{"op":"sub","id":1,"topic":"py/#"}')
            eq(json.loads(await reader.recv())["op"], "hello", "first frame")
            has(json.loads(await reader.recv()), op="ok", id=1)
            for n in range(100):
                await writer.send(json.dumps({"op": "pub", "topic": "py/a", "data": {"n": n, "text": "žluťoučký 🐎"}}))
            for n in range(100):
                has(json.loads(await reader.recv()), op="msg", data={"n": n, "text": "žluťoučký 🐎"})
            latency = await asyncio.wait_for(await reader.ping(), 5 * SLOW)
            ok(latency is None or latency >= 0, "ping")
    asyncio.run(asyncio.wait_for(run(), 20 * SLOW))


@case
def python_websockets_with_compression_offered_and_fragments(t):
    broker = t.broker()
    url = "ws://%s:%d/ws" % broker.public

    async def run():
        async with websockets.connect(url, subprotocols=["sluice.echo"], compression="deflate", max_size=4 << 20) as ws:
            await ws.send(["frag", "ment", "ed ", "text"])
            eq(await ws.recv(), "fragmented text", "echo")
            blob = bytes(range(256)) * 4096
            await ws.send(blob)
            eq(await ws.recv(), blob, "echo of 1 MiB")
            await ws.close(1000, "done")
            eq(ws.close_code, 1000, "close code")
    asyncio.run(asyncio.wait_for(run(), 20 * SLOW))


@case
def python_websockets_many_at_once(t):
    broker = t.broker(workers=2)
    url = "ws://%s:%d/ws" % broker.public

    async def one(n, started, everyone):
        async with websockets.connect(url) as ws:
            await ws.send(json.dumps({"op": "sub", "id": 1, "topic": "crowd/#"}))
            await ws.recv()
            await ws.recv()
            started.append(n)
            if len(started) == 60:
                everyone.set()
            await everyone.wait()
            await ws.send(json.dumps({"op": "pub", "topic": f"crowd/{n}", "data": n}))
            got = []
            while len(got) < 60:
                frame = json.loads(await ws.recv())
                if frame["op"] == "msg":  # a cur may come between
                    got.append(frame["data"])
            eq(sorted(got), list(range(60)), f"received by {n}")

    async def run():
        started, everyone = [], asyncio.Event()
        await asyncio.gather(*(one(n, started, everyone) for n in range(60)))
    asyncio.run(asyncio.wait_for(run(), 25 * SLOW))


@case
def curl_upgrades_and_is_answered(t):
    """curl as a bare HTTP client: the 101 and the first frame."""
    broker = t.broker()
    done = subprocess.run(["curl", "--silent", "--include", "--no-buffer", "--max-time", "2", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
                           "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "-H", "Sec-WebSocket-Protocol: sluice.v1.json",
                           "http://%s:%d/ws?sub=curl/a" % broker.public], capture_output=True)
    text = done.stdout
    ok(text.startswith(b"HTTP/1.1 101"), "status line", text[:200])
    ok(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in text, "Sec-WebSocket-Accept of RFC 6455's own example", text[:400])
    ok(b'"op":"hello"' in text, "first frame", text[-400:])
