// What the dashboard does when the broker says goodbye, loses messages, refuses or falls silent. The page comes from the
// real broker; its WebSocket is answered by the test.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startBroker } from '../support/broker.mjs';
import { newPage, startBrowser, until } from './support/browser.mjs';
import { root } from './support/feed.mjs';

let broker, browser;

before(async () => {
  broker = await startBroker({ flags: ['--set', `dashboard=${path.join(root, 'clients/dashboard')}`] });
  browser = await startBrowser();
});

after(async () => {
  await browser?.stop();
  await broker?.stop();
});

const hello = { op: 'hello', conn: 'c1', node: 'n1', protocol: 1, ping_s: 25, limits: {} };
const load = (offset, more) => ({
  op: 'msg', topic: 'host/h/load', data: { one: offset, five: 1, fifteen: 1 }, ts: Date.now() - 1000 + offset, offset,
  epoch: 'e1', ...more,
});

// answer(frame, socket, n) is called for each frame of the page; n counts connections from 1.
async function openWith(answer, { greet = hello } = {}) {
  const opened = await newPage(browser);
  const subs = [];
  let n = 0;
  await opened.page.routeWebSocket(/\/ws$/, (socket) => {
    const number = ++n;
    const send = (...frames) => frames.forEach((f) => socket.send(JSON.stringify(f)));
    socket.onMessage((text) => {
      const frame = JSON.parse(text);
      if (frame.op === 'sub') subs.push(frame);
      answer(frame, { send, close: (code, reason) => socket.close({ code, reason }) }, number);
    });
    send(greet);
  });
  await opened.page.goto(broker.http);
  return { ...opened, subs };
}

async function done({ page, faults }) {
  assert.deepEqual(await faults(), []);
  await page.close();
}

test('it asks for history first and goes on by cursor after bye 4300, not before after_ms', async () => {
  const opened = await openWith((frame, { send, close }, n) => {
    send({ op: 'ok', id: frame.id, sub: frame.sub, recovered: true, cur: `k${n}` });
    if (n > 1) {
      send(load(2, { sub: 1 }), load(3, { sub: 1 }), load(4, { sub: 1 }), load(5));
      return;
    }
    send(load(1, { sub: 1 }), load(2, { sub: 1 }), load(3), { op: 'cur', sub: 1, cur: 'later' });
    setTimeout(() => {
      send({ op: 'bye', close: 4300, code: 'draining', message: 'the broker drains', retry: true, after_ms: 700 });
      close(4300, 'draining');
    }, 300);
  });
  await until(opened.page, (d) => d.state === 'waiting');
  const lost = Date.now();
  await until(opened.page, (d) => d.state === 'live' && d.counts.connects === 2);
  assert.ok(Date.now() - lost > 450, 'after_ms is kept');
  assert.equal(opened.subs[0].topic, 'host/#');
  assert.ok(opened.subs[0].from.last > 100);
  assert.deepEqual(opened.subs[1].from, { cur: 'later' });
  const counts = await opened.page.evaluate(() => window.sluiceDashboard.counts);
  assert.equal(counts.duplicates, 2, 'positions already seen are dropped');
  assert.equal(counts.messages, 5);
  assert.equal(counts.recovered, 1);
  await done(opened);
});

test('44xx stops it, and says why; a button starts it again', async () => {
  const opened = await openWith((frame, { send, close }, n) => {
    send({ op: 'ok', id: frame.id, sub: 1, recovered: true });
    if (n > 1) return;
    send({ op: 'bye', close: 4410, code: 'kicked', message: 'closed by an administrator', retry: false, after_ms: 0 });
    close(4410, 'kicked');
  });
  await until(opened.page, (d) => d.state === 'stopped');
  assert.match(await opened.page.locator('#stopped-text').innerText(), /closed by an administrator \(4410\)/);
  assert.equal(await opened.page.locator('#badge-text').innerText(), 'stopped');
  await opened.page.waitForTimeout(1000);
  assert.equal(opened.subs.length, 1, 'it does not try again by itself');
  await opened.page.click('#again');
  await until(opened.page, (d) => d.state === 'live');
  assert.equal(await opened.page.locator('#stopped').isVisible(), false);
  await done(opened);
});

test('45xx backs off and comes back by time where it never got a cursor', async () => {
  const opened = await openWith((frame, { send, close }, n) => {
    send({ op: 'ok', id: frame.id, sub: 1, recovered: true });
    if (n === 1) {
      send(load(1, { sub: 1 }), load(2));
      setTimeout(() => close(4503, 'overloaded'), 200);
    }
  });
  await until(opened.page, (d) => d.state === 'live' && d.counts.connects === 2);
  assert.equal(typeof opened.subs[1].from.since, 'number');
  await done(opened);
});

test('a gap is shown and counted', async () => {
  const opened = await openWith((frame, { send }) => {
    send({ op: 'ok', id: frame.id, sub: 1, recovered: true }, load(1));
    setTimeout(() => send({ op: 'gap', sub: 1, topic: 'host/h/load', lost: 7, reason: 'trimmed' }), 300);
  });
  await until(opened.page, (d) => d.counts.lost === 7);
  await until(opened.page, () => /7 messages lost \(trimmed\)/.test(document.getElementById('badge-text').textContent));
  assert.match(await opened.page.locator('#events').innerText(), /7 messages lost \(trimmed\) on host\/h\/load/);
  await done(opened);
});

test('a subscription that is refused for good stops it with the broker\'s hint', async () => {
  const opened = await openWith((frame, { send }) => {
    send({
      op: 'err', id: frame.id, code: 'topic_forbidden', status: 403, message: 'you may not read host/#',
      hint: 'ask the operator', retry: false,
    });
  });
  await until(opened.page, (d) => d.state === 'stopped');
  assert.match(await opened.page.locator('#stopped-text').innerText(), /you may not read host\/#; ask the operator/);
  await done(opened);
});

test('a cursor that the broker does not know is given up for the time of the newest message', async () => {
  const opened = await openWith((frame, { send, close }, n) => {
    if (frame.from.cur) {
      send({ op: 'err', id: frame.id, code: 'history_gone', status: 410, message: 'the cursor is unknown', retry: false });
      return;
    }
    send({ op: 'ok', id: frame.id, sub: 1, recovered: true, cur: 'old' });
    if (n === 1) {
      send(load(1, { sub: 1 }), load(2));
      setTimeout(() => close(1012, 'restart'), 200);
    }
  });
  await until(opened.page, (d) => d.state === 'live' && d.counts.connects === 2);
  assert.deepEqual(opened.subs.map((s) => Object.keys(s.from)[0]), ['last', 'cur', 'since']);
  await done(opened);
});

test('silence beyond what the broker promised counts as a lost line', async () => {
  const opened = await openWith((frame, { send }) => {
    send({ op: 'ok', id: frame.id, sub: 1, recovered: true });
  }, { greet: { ...hello, ping_s: 1 } });
  await until(opened.page, (d) => d.counts.connects === 2, null, { seconds: 20 });
  assert.match(await opened.page.locator('#events').innerText(), /nothing was heard from the broker/);
  await done(opened);
});
