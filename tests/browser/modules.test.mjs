// The dashboard's pure modules, run where they are meant to run.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startBroker } from '../support/broker.mjs';
import { newPage, startBrowser } from './support/browser.mjs';
import { root } from './support/feed.mjs';

let broker, browser, page;

before(async () => {
  broker = await startBroker({ flags: ['--set', `dashboard=${path.join(root, 'clients/dashboard')}`] });
  browser = await startBrowser();
  ({ page } = await newPage(browser));
  await page.goto(broker.http);
});

after(async () => {
  await browser?.stop();
  await broker?.stop();
});

test('a ring keeps the newest samples, in order, and leaves repeats out', async () => {
  const got = await page.evaluate(async () => {
    const { Ring } = await import('/series.js');
    const ring = new Ring(1, 4);
    const taken = [10, 20, 20, 15, 30, NaN, 40, 50, 60].map((t) => ring.push(t, [t * 2]));
    return {
      taken, length: ring.length, times: [0, 1, 2, 3].map((i) => ring.time(i)), last: ring.last(0),
      found: [ring.lowerBound(0), ring.lowerBound(40), ring.lowerBound(41), ring.lowerBound(61)],
      nearest: [ring.nearest(44, 10), ring.nearest(47, 10), ring.nearest(100, 10)], most: ring.max(0, 45),
      nothing: new Ring(1, 4).last(0),
    };
  });
  assert.deepEqual(got, {
    taken: [true, true, false, false, true, false, true, true, true], length: 4, times: [30, 40, 50, 60], last: 120,
    found: [0, 1, 2, 4], nearest: [1, 2, -1], most: 120, nothing: NaN,
  });
});

test('a ring is drawn in runs: a hole parts them, a bucket keeps its extremes', async () => {
  const got = await page.evaluate(async () => {
    const { Ring } = await import('/series.js');
    const ring = new Ring(1, 64);
    for (const [t, v] of [[1000, 1], [1250, 9], [1500, 5], [1750, 5], [9000, 7], [9250, 7]]) ring.push(t, [v]);
    return ring.runs(0, 0, 500).map((run) => run.map((b) => [b.time, b.mean, b.low, b.high]));
  });
  assert.deepEqual(got, [[[1125, 5, 1, 9], [1625, 5, 5, 5]], [[9125, 7, 7, 7]]]);
});

test('numbers read well', async () => {
  const got = await page.evaluate(async () => {
    const f = await import('/format.js');
    return [
      [0, 999, 1000, 1234, 99_960, 12_345_678].map(f.rate),
      [0, 1023, 1024, 1536, 25_276_510_208].map(f.bytes),
      [0, 9.96, 99.96, 100].map(f.percent),
      [5, 65, 3660, 90_000].map(f.duration),
      [0, 0.9, 1.2, 4.4, 7, 9, 11, 1e9].map(f.niceCeil),
      ['50.0 MB/s', '2.00 kB/s', '0.50', '100', '7.64 GiB'].map(f.axis),
    ];
  });
  assert.deepEqual(got, [
    ['0 B/s', '999 B/s', '1.00 kB/s', '1.23 kB/s', '100 kB/s', '12.3 MB/s'],
    ['0 B', '1023 B', '1.00 KiB', '1.50 KiB', '23.5 GiB'],
    ['0.0', '10.0', '100', '100'],
    ['5 s', '1 min 5 s', '1 h 1 min', '1 d 1 h'],
    [1, 1, 1.5, 5, 8, 10, 15, 1e9],
    ['50 MB/s', '2 kB/s', '0.5', '100', '7.64 GiB'],
  ]);
});

test('hosts, devices and cores that anyone may publish are bounded', async () => {
  const got = await page.evaluate(async () => {
    const { Model } = await import('/model.js');
    const model = new Model();
    const take = (topic, data) => model.take({ topic, data, ts: 1 });
    for (let i = 0; i < 100; i++) take(`host/h${i}/load`, { one: 1 });
    for (let i = 0; i < 100; i++) take(`host/h1/disk/d${i}`, { read: 1 });
    take('host/h1/cpu', { cores: new Array(5000).fill(1) });
    take('host/h1/processes', { top: new Array(500).fill({ name: 'x'.repeat(5000) }) });
    const h = model.hosts.get('h1');
    return [model.hosts.size, h.disks.size, h.cpu.columns, h.processes.top.length, h.processes.top[0].name.length,
      model.unread, take('other/h1/load', {}), take('host/h1/constructor', {}), take('host//load', {})];
  });
  assert.deepEqual(got, [32, 16, 1028, 10, 120, 68, false, false, false]);
});
