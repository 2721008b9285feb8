// Chromium, and pages that note everything they must not do.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const ARGUMENTS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS });

// Waits until a condition holds, and returns its value.
export async function until(what, condition, limit = 30_000) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

export class Viewer {
  static async open(browser, url, { width = 1280, scheme = 'light' } = {}) {
    const viewer = new Viewer();
    viewer.context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
    viewer.page = await viewer.context.newPage();
    viewer.faults = [];
    viewer.bodies = [];
    const { page, faults } = viewer;
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(message.text()));
    page.on('pageerror', (error) => faults.push(String(error)));
    page.on('request', (request) => new URL(request.url()).origin !== new URL(url).origin && faults.push(`request to ${request.url()}`));
    page.on('response', async (response) => {
      // A stream has no end.
      if (response.url().endsWith('/stream')) return;
      viewer.bodies.push(await response.text().catch(() => ''));
    });
    viewer.response = await page.goto(url);
    return viewer;
  }

  text(id) {
    return this.page.evaluate((name) => document.getElementById(name).textContent, id);
  }

  // Waits until an element's text matches.
  shows(id, pattern, limit) {
    return until(`#${id} shows ${pattern}`, async () => pattern.test(await this.text(id)), limit);
  }

  isVisible(id) {
    return this.page.evaluate((name) => document.getElementById(name).checkVisibility(), id);
  }

  async violations() {
    const { violations } = await this.page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] })`);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(', ')}`);
  }

  // How far the content is wider than the window.
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  }

  close() {
    return this.context.close();
  }
}
