// Headless Chromium for the tests, and a page that notes everything that should not happen: console errors, uncaught
// exceptions, violations of the content security policy.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const slow = Number(process.env.SLUICE_TEST_SLOW || 1);

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

// A failed attempt to connect is written to the console by the browser itself; no script can keep it from that.
const WHILE_DOWN = /WebSocket connection to .* failed/;

export async function startBrowser() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-chromium-'));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: FLAGS,
    // as users have it: pages go to the back/forward cache
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    viewport: { width: 1280, height: 900 },
  });
  return {
    context,
    async stop() {
      await context.close();
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

// A page and the list of its faults.
export async function newPage(browser, { width = 1280, height = 900, dark = false } = {}) {
  const page = await browser.context.newPage();
  const faults = [];
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
  page.on('console', (m) => {
    if (m.type() === 'error' && !WHILE_DOWN.test(m.text())) faults.push(`console: ${m.text()}`);
  });
  page.on('pageerror', (e) => faults.push(`exception: ${e.stack}`));
  page.on('requestfailed', (r) => faults.push(`request: ${r.url()} ${r.failure()?.errorText}`));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (e) => {
      window.violations.push(`${e.violatedDirective} ${e.blockedURI}`);
    });
  });
  return {
    page,
    // Everything that went wrong so far; the page must still be open.
    async faults() {
      return [...faults, ...(await page.evaluate(() => window.violations))];
    },
  };
}

// Waits in the page until the function, given window.sluiceDashboard and arg, says so.
export async function until(page, test, arg, { seconds = 15, what = test.toString() } = {}) {
  // Asked again and again from here: the page's policy allows no script that is made of text.
  const source = `Boolean(window.sluiceDashboard && (${test})(window.sluiceDashboard, ${JSON.stringify(arg ?? null)}))`;
  const end = Date.now() + seconds * 1000 * slow;
  while (!(await page.evaluate(source))) {
    if (Date.now() > end) {
      const now = await page.evaluate(() => JSON.stringify(window.sluiceDashboard, (k, v) => (k === 'last' ? undefined : v)));
      throw new Error(`waited in vain for ${what}; the dashboard says ${now}`);
    }
    await sleep(50);
  }
}
