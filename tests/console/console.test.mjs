// The console as an operator meets it. The steps follow each other: one bridge, one broker, one browser.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Bridge, killAll, startBroker } from './bridge.mjs';
import { Viewer, launch, until } from './browser.mjs';

const OURS = { 'x-idaas-bridge': 'journal' };
const PERSONAL = 'personal7f3a';

// What simulated events say about people, and what the test sends itself.
const NAMES = ['Zhang San', 'zhangsan', '王伟', '李娜', 'José', 'Müller', 'الزهراء', 'Иванова', '佐藤', 'Brien', 'example.com', PERSONAL];

let broker;
let bridge;
let browser;
let viewer;
const transcript = [];

// Reads the stream beside the browser until the server or the test ends it; everything that came is in the transcript.
async function record(headers) {
  const abort = new AbortController();
  const response = await fetch(`${bridge.console}/console/stream`, { headers, signal: abort.signal });
  const read = { status: response.status, text: '', ended: false, stop: () => abort.abort() };
  const decoder = new TextDecoder();
  const reading = async () => {
    for await (const chunk of response.body ?? []) {
      read.text += decoder.decode(chunk, { stream: true });
    }
    read.ended = true;
  };
  reading().catch(() => {});
  transcript.push(read);
  return read;
}

const messages = ({ text }, name) => text.split('\n\n').filter((block) => block.startsWith(`event: ${name}\n`)).map((block) => JSON.parse(block.split('\ndata: ')[1]));

before(async () => {
  broker = await startBroker();
  [bridge, browser] = await Promise.all([Bridge.start(broker), launch()]);
  await record(OURS);
  viewer = await Viewer.open(browser, bridge.console);
});

after(async () => {
  await browser?.close();
  bridge?.remove();
  killAll();
});

test('the page has a strict policy and says that everything is delivered', async () => {
  const policy = viewer.response.headers()['content-security-policy'];
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
  await viewer.shows('status-title', /^Everything is delivered$/);
  await viewer.shows('live-text', /^Live$/);
  await viewer.shows('kafka', /closed/);
  await viewer.shows('settings', /bootstrap_servers/);
});

test('events appear without a reload', async () => {
  for (const application of ['workforce', 'application-2']) await bridge.send('--application', application);
  await bridge.send('--type', 'user:push', '--type', 'group:push', '--count', '24', '--events-per-callback', '8');
  await viewer.shows('events', /user\.snapshot/);
  await viewer.shows('applications', /application-2/);
  await viewer.shows('entities', /organizational-unit/);
  await viewer.shows('pushes', /workforce/);
  const { page } = viewer;
  assert.ok((await page.locator('#traffic-chart rect').count()) > 0);
  const row = await page.locator('#events tbody tr').filter({ hasText: '.snapshot' }).first().innerText();
  assert.match(row, /SUCCESS\s+idaas\.(user|group)\.v1 \/ \d+ \/ \d+\s+[\d.]+/);
});

test('an event is found by the id of its entity', async () => {
  await bridge.sendUser({ userId: 'user_console_search', username: `${PERSONAL}-name`, displayName: `${PERSONAL} shown`, email: `${PERSONAL}@mail.test`, phoneNumber: '15500007311', phoneRegion: '86' });
  const { page } = viewer;
  await page.getByLabel('Event id or entity id').fill('user_console_search');
  await page.getByRole('button', { name: 'Find' }).click();
  await viewer.shows('events-note', /^1 match among \d+ events in memory$/);
  const row = await page.locator('#events tbody tr').innerText();
  assert.match(row, /user\.created\s+user_console_search\s+evnt_/);
  await page.getByLabel('Event id or entity id').fill('user_unknown');
  await page.getByRole('button', { name: 'Find' }).click();
  await viewer.shows('events', /Not in memory/);
  await page.getByLabel('Event id or entity id').fill('');
  await viewer.shows('events', /user\.created/);
});

test('there is no accessibility violation, in both themes and on a phone', async () => {
  for (const scheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
      const other = await Viewer.open(browser, bridge.console, { width, scheme });
      await other.shows('events', /user\.snapshot/);
      await other.page.locator('summary').click();
      assert.deepEqual(await other.violations(), [], `${scheme} at ${width}`);
      assert.equal(await other.overflow(), 0, `${scheme} at ${width}`);
      assert.deepEqual(other.faults, []);
      await other.close();
    }
  }
});

test('a silent Kafka is an outage, and what waits is published afterwards', async () => {
  broker.pause();
  await viewer.shows('status-title', /^Kafka is unavailable since /);
  await bridge.sendUnconfirmed('--type', 'user:create', '--count', '5');
  await viewer.shows('journal-state', /^5 events wait$/);
  await viewer.shows('events', /not_confirmed/);
  assert.deepEqual(await viewer.violations(), []);
  broker.resume();
  await viewer.shows('status-title', /^Everything is delivered$/);
  await viewer.shows('journal-state', /^empty$/);
});

test('with a token, ids are shown to whoever has it', async () => {
  const open = await record({});
  bridge.requireAdminToken();
  await until('the token counts', async () => (await fetch(`${bridge.console}/console/events?query=e`, { headers: OURS })).status === 401);
  const other = await Viewer.open(browser, bridge.console);
  await other.shows('status-title', /./);
  await until('the login form', () => other.isVisible('login'));
  assert.equal(await other.isVisible('events'), false);
  await other.page.getByLabel('Admin token').fill('wrong-token-0123456789');
  await other.page.getByRole('button', { name: 'Show ids' }).click();
  await other.shows('login-problem', /wrong/);
  assert.deepEqual(await other.violations(), []);
  await other.page.getByLabel('Admin token').fill(bridge.adminToken());
  await other.page.getByRole('button', { name: 'Show ids' }).click();
  await other.shows('events', /evnt_/);
  assert.doesNotMatch(await other.page.content(), new RegExp(bridge.adminToken()));
  assert.deepEqual(other.faults.filter((fault) => !fault.includes('401')), []);
  await other.close();
  for (const text of [open.text, (await record({})).text]) assert.doesNotMatch(text, /evnt_|user_|bootstrap_servers/);
});

test('the number of viewers is bounded', async () => {
  const viewers = [];
  await until('there is no place left', async () => {
    viewers.push(await record({}));
    return viewers.at(-1).status === 503;
  });
  assert.ok(viewers.length <= 17, String(viewers.length));
  viewers.forEach(({ stop }) => stop());
  await until('there is a place again', async () => {
    const next = await record({});
    next.stop();
    return next.status === 200;
  });
});

test('an outage is visible within three seconds', async () => {
  const other = await Viewer.open(browser, bridge.console);
  await other.shows('status-title', /^Everything is delivered$/);
  const began = Date.now();
  broker.kill();
  await other.shows('status-title', /^Kafka is unavailable since /);
  const took = Date.now() - began;
  assert.ok(took < 3000, `${took} ms`);
  await other.close();
});

test('open streams do not hold up the shutdown', async () => {
  const open = await record({});
  assert.equal(await bridge.end(), 0);
  await until('the stream has ended', () => open.ended);
  await viewer.shows('status-title', /^No connection to the service$/);
});

test('nothing personal, nothing secret and nothing foreign was shown', async () => {
  const texts = [await viewer.page.content(), ...viewer.bodies, ...transcript.map(({ text }) => text)];
  assert.ok(messages(transcript[0], 'state').length > 5 && messages(transcript[0], 'settings').length > 0);
  assert.ok(messages(transcript[0], 'state').some(({ events }) => events.some(({ eventId }) => eventId.startsWith('evnt_'))));
  for (const unwanted of [...NAMES, '15500007311', ...bridge.secrets()]) {
    assert.ok(!texts.some((text) => text.includes(unwanted)), unwanted);
  }
  assert.deepEqual(viewer.faults.filter((fault) => !/ERR_(CONNECTION|INCOMPLETE|EMPTY)|401/.test(fault)), []);
});
