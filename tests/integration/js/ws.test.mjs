// npm ws against the real sluiced: a client that checks the server's frames by itself.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { startBroker } from '../../support/broker.mjs';

let broker;
before(async () => { broker = await startBroker({ workers: 2 }); });
after(async () => { await broker.stop(); });

// A connection whose frames can be awaited one by one.
async function open(protocols = 'sluice.v1.json', options = {}, path = '/ws') {
    const ws = new WebSocket(broker.url.replace('/ws', path), protocols, options);
    const queue = [];
    let wake = () => {}, failure = null;
    ws.on('message', (data, isBinary) => { queue.push(isBinary ? data : data.toString()); wake(); });
    ws.on('close', (code) => { failure = new Error(`closed with ${code}`); wake(); });
    const next = async () => {
        while (!queue.length) {
            if (failure)
                throw failure;
            await new Promise((resolve) => { wake = resolve; });
        }
        return queue.shift();
    };
    await once(ws, 'open');
    return { ws, next, json: async () => JSON.parse(await next()), send: (frame) => ws.send(JSON.stringify(frame)) };
}

async function closed(ws) {
    const [code, reason] = await once(ws, 'close');
    return { code, reason: reason.toString() };
}

test('five lines are enough', async () => {
    const c = await open();
    c.send({ op: 'sub', topic: 'js/#' });
    assert.equal((await c.json()).op, 'hello');
    c.send({ op: 'pub', topic: 'js/a', data: { n: 1 } });
    let m = await c.json();
    while (m.op === 'cur') // as a page does, which looks at messages only
        m = await c.json();
    assert.deepEqual([m.op, m.topic, m.data], ['msg', 'js/a', { n: 1 }]);
    c.ws.close(1000, 'done');
    assert.equal((await closed(c.ws)).code, 1000);
});

test('the chosen subprotocol is the first of ours', async () => {
    const c = await open(['zzz', 'sluice.v1.json', 'sluice.v1.cbor']);
    assert.equal(c.ws.protocol, 'sluice.v1.json');
    c.ws.terminate();
});

test('permessage-deflate is declined or works', async () => {
    const c = await open('sluice.echo', { perMessageDeflate: { threshold: 0 } });
    const text = 'a long text, '.repeat(1000);
    for (let n = 0; n < 50; n++)
        c.ws.send(text + n);
    for (let n = 0; n < 50; n++)
        assert.equal(await c.next(), text + n);
    c.ws.terminate();
});

test('deflate offers of every form are survived', async () => {
    for (const perMessageDeflate of [{ serverNoContextTakeover: true }, { clientNoContextTakeover: true }, { serverMaxWindowBits: 10 },
        { clientMaxWindowBits: 10 }, { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 }]) {
        const c = await open('sluice.echo', { perMessageDeflate });
        for (let n = 0; n < 5; n++) {
            c.ws.send(`message ${n} `.repeat(200));
            assert.equal(await c.next(), `message ${n} `.repeat(200));
        }
        c.ws.terminate();
    }
});

test('a thousand messages come in order', async () => {
    const reader = await open(), writer = await open();
    reader.send({ op: 'sub', id: 1, topic: 'js/order' });
    await reader.json();
    await reader.json();
    for (let n = 0; n < 1000; n++)
        writer.send({ op: 'pub', topic: 'js/order', data: n });
    for (let n = 0; n < 1000; n++)
        assert.equal((await reader.json()).data, n);
    reader.ws.terminate();
    writer.ws.terminate();
});

test('ping is answered by pong with the same bytes', async () => {
    const c = await open();
    c.ws.ping('are you there');
    const [data] = await once(c.ws, 'pong');
    assert.equal(data.toString(), 'are you there');
    c.ws.terminate();
});

test('fragments and a large binary message are echoed', async () => {
    const c = await open('sluice.echo');
    c.ws.send('one ', { fin: false });
    c.ws.ping();
    c.ws.send('two ', { fin: false });
    c.ws.send('three', { fin: true });
    assert.equal(await c.next(), 'one two three');
    const blob = Buffer.alloc(1 << 20, 7);
    c.ws.send(blob);
    assert.ok(blob.equals(await c.next()));
    c.ws.terminate();
});

test('bad UTF-8 is closed with 1007', async () => {
    const c = await open();
    c.ws.send(Buffer.from([0x22, 0xff, 0xfe]), { binary: false });
    assert.equal((await closed(c.ws)).code, 1007);
});

test('a message over the limit is closed with 1009', async () => {
    const c = await open();
    c.ws.on('error', () => {});
    c.ws.send(Buffer.alloc((2 << 20) + 1, 0x20), { binary: false });
    const { code } = await closed(c.ws);
    assert.ok(code === 1009 || code === 1006, `code ${code}`); // 1006 where the kernel's reset overtakes the frame
});

test('a foreign origin is refused with 403', async () => {
    const ws = new WebSocket(broker.url, { origin: 'https://evil.example' });
    const [error] = await once(ws, 'error');
    assert.match(error.message, /403/);
});

test('version 8 is refused with 426', async () => {
    const ws = new WebSocket(broker.url, { protocolVersion: 8 });
    const [error] = await once(ws, 'error');
    assert.match(error.message, /426/);
});

test('an unknown subprotocol is refused with 400', async () => {
    const ws = new WebSocket(broker.url, 'soap');
    const [error] = await once(ws, 'error');
    assert.match(error.message, /400/);
});

test('a paused reader catches up without loss', async () => {
    const reader = await open(), writer = await open();
    reader.send({ op: 'sub', id: 1, topic: 'js/paused' });
    await reader.json();
    await reader.json();
    reader.ws.pause();
    for (let n = 0; n < 90; n++)
        writer.send({ op: 'pub', topic: 'js/paused', data: [n, 'x'.repeat(50000)] });
    writer.send({ op: 'ping', id: 'done' });
    while ((await writer.json()).op !== 'pong');
    reader.ws.resume();
    for (let n = 0; n < 90; n++)
        assert.equal((await reader.json()).data[0], n);
    reader.ws.terminate();
    writer.ws.terminate();
});
