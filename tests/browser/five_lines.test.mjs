// The five lines of the protocol sheet, as they stand there but for the port, in a page of the broker's own origin.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startBroker } from '../support/broker.mjs';
import { newPage, startBrowser } from './support/browser.mjs';
import { root } from './support/feed.mjs';

const FIVE_LINES = `
const ws = new WebSocket("ws://localhost:8080/ws", "sluice.v1.json");
ws.onopen = () => ws.send('{"op":"sub","topic":"sensors/#"}');
ws.onmessage = e => { const m = JSON.parse(e.data); if (m.op === "msg") draw(m.topic, m.data); };
ws.onclose = e => console.log(e.code, e.reason);
`;

let broker, browser;

before(async () => {
  broker = await startBroker({ flags: ['--set', `dashboard=${path.join(root, 'clients/dashboard')}`] });
  browser = await startBrowser();
});

after(async () => {
  await browser?.stop();
  await broker?.stop();
});

// Runs the code in the page, publishes until something is drawn, and returns what was.
async function drawn(page, code) {
  return page.evaluate(async (lines) => {
    const out = [];
    window.draw = (topic, data) => out.push([topic, data]);
    (0, eval)(lines);
    const publisher = new WebSocket(new URL('/ws', location.href).href.replace('http', 'ws'), 'sluice.v1.json');
    await new Promise((resolve) => { publisher.onopen = resolve; });
    for (let i = 0; i < 100 && out.length === 0; i++) {
      publisher.send(JSON.stringify({ op: 'pub', topic: 'sensors/kitchen/temperature', data: { c: 21.5 } }));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    publisher.close();
    return out[0];
  }, code);
}

test('five lines of browser code show what is published', async () => {
  const { page } = await newPage(browser);
  await page.goto(`http://localhost:${broker.port}/healthz`);
  const code = FIVE_LINES.replace('localhost:8080', `localhost:${broker.port}`);
  assert.deepEqual(await drawn(page, code), ['sensors/kitchen/temperature', { c: 21.5 }]);
  await page.close();
});

test('the end of the broker reaches onclose with code and reason', async () => {
  const { page } = await newPage(browser);
  await page.goto(`http://localhost:${broker.port}/healthz`);
  const ended = new Promise((resolve) => {
    page.on('console', (m) => { if (/^\d{4} /.test(m.text())) resolve(m.text()); });
  });
  const code = FIVE_LINES.replace('localhost:8080', `localhost:${broker.port}`);
  await drawn(page, code);
  await broker.stop();
  assert.match(await ended, /^4300 .+/);
  await page.close();
});

test('one line subscribes by the address alone', async (t) => {
  const one = await startBroker();
  t.after(() => one.stop());
  const { page } = await newPage(browser);
  await page.goto(`${one.http}/healthz`);
  const first = await page.evaluate(async () => {
    const ws = new WebSocket(`ws://${location.host}/ws?sub=sensors/%23`);
    const frames = [];
    ws.onmessage = (e) => frames.push(JSON.parse(e.data));
    await new Promise((resolve) => { ws.onopen = resolve; });
    for (let i = 0; i < 100 && !frames.some((f) => f.op === 'msg'); i++) {
      ws.send(JSON.stringify({ op: 'pub', topic: 'sensors/a', data: i }));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return [frames[0].op, frames.find((f) => f.op === 'msg')?.topic];
  });
  assert.deepEqual(first, ['hello', 'sensors/a']);
  await page.close();
});
