// npm websocket (theturtle32/WebSocket-Node), the other old client: its own frame checks, its browser-like W3C class.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import websocket from 'websocket';
import { startBroker } from '../../support/broker.mjs';

let broker;
before(async () => { broker = await startBroker(); });
after(async () => { await broker.stop(); });

function connect(protocol, config = {}, origin = undefined) {
    const client = new websocket.client(config);
    return new Promise((resolve, reject) => {
        client.on('connect', resolve);
        client.on('connectFailed', reject);
        client.connect(broker.url, protocol, origin);
    });
}

function reader(connection) {
    const queue = [], waiting = [];
    connection.on('message', (m) => {
        const value = m.type === 'utf8' ? m.utf8Data : m.binaryData;
        if (waiting.length)
            waiting.shift()(value);
        else
            queue.push(value);
    });
    return () => queue.length ? Promise.resolve(queue.shift()) : new Promise((resolve) => waiting.push(resolve));
}

test('publishes and reads', async () => {
    const connection = await connect('sluice.v1.json');
    assert.equal(connection.protocol, 'sluice.v1.json');
    const next = reader(connection);
    connection.sendUTF('{"op":"sub","topic":"node/#","id":1}');
    assert.equal(JSON.parse(await next()).op, 'hello');
    assert.equal(JSON.parse(await next()).op, 'ok');
    for (let n = 0; n < 200; n++)
        connection.sendUTF(JSON.stringify({ op: 'pub', topic: 'node/a', data: n }));
    for (let n = 0; n < 200; n++)
        assert.equal(JSON.parse(await next()).data, n);
    const closed = new Promise((resolve) => connection.on('close', resolve));
    connection.close();
    assert.equal(await closed, 1000);
});

test('fragments large messages by itself', async () => {
    const connection = await connect('sluice.echo', { fragmentationThreshold: 1000, maxReceivedMessageSize: 4 << 20, maxReceivedFrameSize: 4 << 20 });
    const next = reader(connection);
    const text = 'žluťoučký kůň '.repeat(5000);
    connection.sendUTF(text);
    assert.equal(await next(), text);
    const blob = Buffer.alloc(300000, 3);
    connection.sendBytes(blob);
    assert.ok(blob.equals(await next()));
    connection.drop();
});

test('ping is answered', async () => {
    const connection = await connect('sluice.v1.json');
    const pong = new Promise((resolve) => connection.on('pong', resolve));
    connection.ping(Buffer.from('hi'));
    assert.equal((await pong).toString(), 'hi');
    connection.drop();
});

test('a foreign origin is refused', async () => {
    await assert.rejects(connect('sluice.v1.json', {}, 'https://evil.example'), /403/);
});

test('the W3C class works as a browser would', async () => {
    const ws = new websocket.w3cwebsocket(broker.url, 'sluice.v1.json');
    const frames = [];
    const done = new Promise((resolve, reject) => {
        ws.onerror = () => reject(new Error('failed'));
        ws.onopen = () => ws.send('{"op":"sub","topic":"w3c/#"}');
        ws.onmessage = (e) => {
            const m = JSON.parse(e.data);
            frames.push(m);
            if (m.op === 'hello')
                ws.send('{"op":"pub","topic":"w3c/a","data":"x"}');
            if (m.op === 'msg')
                ws.close(1000);
        };
        ws.onclose = (e) => resolve(e);
    });
    const event = await done;
    assert.deepEqual([event.code, event.wasClean], [1000, true]);
    assert.deepEqual(frames.map((f) => f.op), ['hello', 'msg']);
});
