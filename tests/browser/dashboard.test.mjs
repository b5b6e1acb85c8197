// The dashboard as its users see it: real broker, real figures of this machine, real browser.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { artifacts, startBroker } from '../support/broker.mjs';
import { newPage, startBrowser, until } from './support/browser.mjs';
import { root, startFeed, startLine } from './support/feed.mjs';

const HZ = 20;
const HISTORY_S = 5; // fed before the first page opens

const configuration = path.join(root, 'deploy/quickstart.yaml');
const common = ['--config', configuration, '--set', `dashboard=${path.join(root, 'clients/dashboard')}`];

let broker, feed, line, browser;

before(async () => {
  broker = await startBroker({ flags: common });
  feed = startFeed(broker.url, { hz: HZ });
  line = await startLine(broker.port);
  browser = await startBrowser();
  await sleep(HISTORY_S * 1000);
});

after(async () => {
  await browser?.stop();
  await feed?.stop();
  await line?.stop();
  await broker?.stop();
});

async function openDashboard(options) {
  const opened = await newPage(browser, options);
  await opened.page.goto(`http://127.0.0.1:${options?.port ?? broker.port}/`);
  await until(opened.page, (d) => d.firstPaint !== null, null, { what: 'the first paint' });
  return opened;
}

async function closeWithoutFaults({ page, faults }) {
  assert.deepEqual(await faults(), []);
  await page.close();
}

// How many pixels of a canvas are coloured.
function inked(page, id) {
  return page.evaluate((name) => {
    const canvas = document.getElementById(name);
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b, a] = data.subarray(i, i + 4);
      if (a > 60 && Math.max(r, g, b) - Math.min(r, g, b) > 60) n++;
    }
    return n;
  }, id);
}

describe('first paint', () => {
  test('charts have the history of the log at once', async () => {
    const opened = await openDashboard();
    const first = await opened.page.evaluate(() => window.sluiceDashboard.firstPaint);
    const counts = await opened.page.evaluate(() => window.sluiceDashboard.counts);
    assert.ok(first.points >= HZ * HISTORY_S * 0.6, `${first.points} points at the first paint`);
    assert.ok(counts.replayed >= first.points, `${counts.replayed} messages came from the log`);
    await opened.page.click('#windows button[data-minutes="1"]');
    await sleep(400);
    for (const chart of ['cpu-chart', 'memory-chart', 'load-chart', 'cores-chart'])
      assert.ok(await inked(opened.page, chart) > 40, `${chart} is drawn`);
    await closeWithoutFaults(opened);
  });

  test('facts, cores, devices and processes are those of this machine', async () => {
    const opened = await openDashboard();
    await until(opened.page, (d) => d.last['testhost/info'] && d.last['testhost/processes'] && d.last['testhost/cpu']);
    const last = await opened.page.evaluate(() => window.sluiceDashboard.last);
    const cores = (fs.readFileSync('/proc/stat', 'utf8').match(/^cpu\d/gm) ?? []).length;
    assert.equal(last['testhost/cpu'].cores.length, cores);
    assert.ok(last['testhost/memory'].total > last['testhost/memory'].used);
    assert.equal(await opened.page.locator('#hosts button').innerText(), 'testhost');
    await until(opened.page, () => document.querySelectorAll('#processes tr:not([hidden])').length === 10);
    assert.match(await opened.page.locator('#facts').innerText(), /Kernel\s+Linux/);
    await closeWithoutFaults(opened);
  });
});

describe('live', () => {
  test('values move', async () => {
    const opened = await openDashboard();
    await until(opened.page, (d) => d.state === 'live');
    const look = () => opened.page.evaluate(() => ({
      live: window.sluiceDashboard.counts.live,
      cpu: document.getElementById('cpu-value').textContent,
      chart: document.getElementById('cpu-chart').toDataURL(),
    }));
    const one = await look();
    const seen = new Set([one.cpu]);
    for (let i = 0; i < 10; i++) {
      await sleep(300);
      seen.add((await look()).cpu);
    }
    const two = await look();
    assert.ok(two.live > one.live + HZ, `${two.live - one.live} live messages in three seconds`);
    assert.ok(seen.size > 1, 'the CPU figure changes');
    assert.notEqual(one.chart, two.chart);
    assert.equal(await opened.page.locator('#badge-text').innerText(), 'live');
    await closeWithoutFaults(opened);
  });

  test('drawing goes on at no more than ten pictures a second', async () => {
    const opened = await openDashboard();
    const drawn = await opened.page.evaluate(async () => {
      let n = 0;
      const clear = CanvasRenderingContext2D.prototype.clearRect;
      CanvasRenderingContext2D.prototype.clearRect = function (...a) {
        if (this.canvas.id === 'cpu-chart') n++;
        return clear.apply(this, a);
      };
      await new Promise((resolve) => setTimeout(resolve, 2000));
      return n;
    });
    assert.ok(drawn >= 4 && drawn <= 22, `${drawn} pictures in two seconds`);
    await closeWithoutFaults(opened);
  });

  test('the pointer shows the values of its moment', async () => {
    const opened = await openDashboard();
    await opened.page.click('#windows button[data-minutes="1"]');
    const box = await opened.page.locator('#cpu-chart').boundingBox();
    await opened.page.mouse.move(box.x + box.width * 0.97, box.y + box.height / 2);
    await until(opened.page, () => /%/.test(document.querySelector('#cpu-legend .key-value').textContent));
    await opened.page.mouse.move(5, 5);
    await until(opened.page, () => document.querySelector('#cpu-legend .key-value').textContent === '');
    await closeWithoutFaults(opened);
  });
});

describe('recovery', () => {
  test('a line that was cut is made again and what was missed is fetched, without hole or repeat', async () => {
    const opened = await openDashboard({ port: line.port });
    await until(opened.page, (d) => d.state === 'live');
    await sleep(1500); // a cursor comes once a second
    line.cut();
    await until(opened.page, (d) => d.state === 'waiting' || d.state === 'connecting');
    assert.match(await opened.page.locator('#badge-text').innerText(), /reconnecting/);
    await sleep(2500);
    line.mend();
    await until(opened.page, (d) => d.state === 'live' && d.counts.connects === 2);
    const counts = await opened.page.evaluate(() => window.sluiceDashboard.counts);
    assert.ok(counts.recovered >= HZ * 2, `${counts.recovered} messages were recovered`);
    assert.equal(counts.lost, 0);
    await until(opened.page, () => /recovered \d/.test(document.getElementById('badge-text').textContent));
    const step = await opened.page.evaluate(() => window.sluiceDashboard.largestStepMs);
    assert.ok(step < 1500, `the largest time between two samples is ${step} ms`);
    await closeWithoutFaults(opened);
    line.mend();
  });

  test('a broker that is killed and started again is found by itself', async () => {
    const opened = await openDashboard();
    await until(opened.page, (d) => d.state === 'live');
    const before = await opened.page.evaluate(() => window.sluiceDashboard.points);
    const { host, port } = broker;
    await broker.stop({ signal: 'SIGKILL', expect: null });
    await until(opened.page, (d) => d.state === 'waiting' || d.state === 'connecting');
    await sleep(1000);
    broker = await startBroker({ flags: [...common, '--listen', `${host}:${port}`] });
    await until(opened.page, (d) => d.state === 'live' && d.counts.connects === 2, null, { seconds: 40 });
    const then = await opened.page.evaluate(() => window.sluiceDashboard.counts.live);
    await until(opened.page, (d, n) => d.counts.live > n + 40, then, { seconds: 40, what: 'figures after the restart' });
    const points = await opened.page.evaluate(() => window.sluiceDashboard.points);
    assert.ok(points > before, 'what the page already had stays on the charts');
    await closeWithoutFaults(opened);
  });

  test('a page that is hidden closes its socket; shown again it goes on where it was', async () => {
    const opened = await openDashboard();
    await until(opened.page, (d) => d.state === 'live');
    await sleep(1500);
    await opened.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
    await until(opened.page, (d) => d.state === 'paused');
    const before = await opened.page.evaluate(() => window.sluiceDashboard.counts.messages);
    await sleep(1500);
    assert.equal(await opened.page.evaluate(() => window.sluiceDashboard.counts.messages), before);
    await opened.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
    await until(opened.page, (d) => d.state === 'live');
    const after = await opened.page.evaluate(() => window.sluiceDashboard);
    assert.ok(after.counts.recovered >= HZ, `${after.counts.recovered} messages were recovered`);
    assert.ok(after.largestStepMs < 1500, `the largest time between two samples is ${after.largestStepMs} ms`);
    await closeWithoutFaults(opened);
  });

  test('going to another page and back shows live figures, from the back/forward cache or not', async (t) => {
    const opened = await openDashboard();
    await until(opened.page, (d) => d.state === 'live');
    await opened.page.evaluate(() => { window.wasHere = true; });
    await opened.page.goto('about:blank');
    await sleep(500);
    await opened.page.goBack({ waitUntil: 'commit' });
    await until(opened.page, (d) => d.state === 'live' && d.points > 0);
    t.diagnostic(`from the cache: ${await opened.page.evaluate(() => Boolean(window.wasHere))}`);
    await closeWithoutFaults(opened);
  });
});

describe('looks', () => {
  for (const [name, width, height] of [['phone', 390, 844], ['desktop', 1280, 900], ['wide', 1920, 1080]]) {
    for (const dark of [false, true]) {
      test(`${name}, ${dark ? 'dark' : 'light'}: nothing sticks out, a screenshot is kept`, async () => {
        const opened = await openDashboard({ width, height, dark });
        await opened.page.click('#windows button[data-minutes="1"]');
        await sleep(600);
        const sizes = await opened.page.evaluate(() => ({
          scroll: document.documentElement.scrollWidth,
          wide: [...document.querySelectorAll('.card, .card *')].filter((e) => {
            const r = e.getBoundingClientRect();
            return r.width > 0 && r.right > document.documentElement.clientWidth + 1;
          }).length,
          small: [...document.querySelectorAll('button')].filter((b) => b.offsetHeight > 0 && b.offsetHeight < 28).length,
        }));
        assert.deepEqual(sizes, { scroll: width, wide: 0, small: 0 });
        fs.mkdirSync(artifacts, { recursive: true });
        await opened.page.screenshot({
          path: path.join(artifacts, `dashboard-${name}-${dark ? 'dark' : 'light'}.png`), fullPage: true,
        });
        await closeWithoutFaults(opened);
      });
    }
  }

  test('text has enough contrast in both themes', async () => {
    for (const dark of [false, true]) {
      const opened = await openDashboard({ dark });
      const poor = await opened.page.evaluate(() => {
        const parse = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
        const light = ([r, g, b]) => {
          const f = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
          return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
        };
        const behind = (e) => {
          for (let at = e; at; at = at.parentElement) {
            const c = parse(getComputedStyle(at).backgroundColor);
            if (c.length === 3 || c[3] === 1) return c;
          }
          return [255, 255, 255];
        };
        const out = [];
        for (const e of document.querySelectorAll('h1, h2, h3, p, dt, dd, th, td, button, li span, .unit, .aside, code')) {
          if (!e.textContent.trim() || e.offsetHeight === 0) continue;
          const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
          const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          if (ratio < 4.5) out.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
        }
        return out;
      });
      assert.deepEqual(poor, []);
      await closeWithoutFaults(opened);
    }
  });
});

describe('what others publish', () => {
  test('is shown as text, and nonsense changes nothing', async () => {
    const opened = await openDashboard();
    await until(opened.page, (d) => d.state === 'live');
    const evil = '<img src=x onerror="window.pwned=1">';
    await opened.page.evaluate(async (name) => {
      const ws = new WebSocket(new URL('/ws', location.href).href.replace('http', 'ws'), 'sluice.v1.json');
      await new Promise((resolve) => { ws.onopen = resolve; });
      const send = (topic, data) => ws.send(JSON.stringify({ op: 'pub', topic, data }));
      for (const data of [null, 1, 'x', [], {}, { total: 'much', cores: 'all' }, { total: -5, cores: [null, 1e300, 'x'] }])
        for (const kind of ['cpu', 'memory', 'load', 'disk/a', 'disk', 'net/b', 'processes', 'info', 'toString', '__proto__'])
          send(`host/nonsense/${kind}`, data);
      send(`host/${name}/info`, { host: name, os: name, kernel: name, model: name, cores: 1, uptime: 5 });
      send(`host/${name}/cpu`, { total: 5, cores: [5] });
      send(`host/${name}/processes`, { count: 1, top: [{ pid: 1, name, cpu: 5, rss: 5 }, null, 7] });
      await new Promise((resolve) => setTimeout(resolve, 300));
      ws.close();
    }, evil.replaceAll('/', ''));
    await until(opened.page, (d) => d.hosts.length === 3);
    await opened.page.locator('#hosts button', { hasText: 'onerror' }).click();
    await until(opened.page, () => /onerror/.test(document.getElementById('processes').textContent));
    assert.match(await opened.page.locator('#facts').innerText(), /<img src=x/);
    assert.equal(await opened.page.evaluate(() => window.pwned), undefined);
    assert.equal(await opened.page.locator('main img').count(), 0);
    await opened.page.locator('#hosts button', { hasText: 'nonsense' }).click();
    await sleep(500);
    await opened.page.locator('#hosts button', { hasText: 'testhost' }).click();
    await until(opened.page, (d) => d.host === 'testhost' && d.state === 'live');
    await closeWithoutFaults(opened);
  });
});
