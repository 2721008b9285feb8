// What the parts of the page show of a message.

import { line, gauge, spark, stacked } from './charts.js';
import { byId, bytes, clock, count, decimal, duration, el, empty, pair, plural, show, table, text } from './dom.js';

// The lists of the answer, and how the page calls them.
const LISTS = [['success', 'delivered'], ['skipped', 'skipped'], ['failed', 'dead letters'], ['retried', 'retried']];

const sum = (values) => values.reduce((total, value) => total + value, 0);

const percent = (value, limit) => (limit > 0 ? `${decimal((value / limit) * 100)} %` : '0 %');

export function status({ now, headline }) {
  const since = headline.since ? ` since ${clock(headline.since)} (${duration(now - headline.since)})` : '';
  byId('status').dataset.level = headline.level;
  text('status-title', `${headline.title}${since}`);
  text('status-detail', headline.detail);
  document.title = headline.level === 'ok' ? 'idaas-bridge' : `${headline.title} · idaas-bridge`;
}

export function lost(busy) {
  byId('status').dataset.level = 'unknown';
  text('status-title', busy ? 'Too many viewers' : 'No connection to the service');
  text('status-detail', busy ? 'This page continues once another one is closed.' : `The values below are from ${clock(Date.now())}. The page tries to reconnect.`);
  document.title = 'No connection · idaas-bridge';
}

export function facts({ now, version, revision, started }) {
  text('version', `${version}${revision === 'unknown' ? '' : ` (${revision.slice(0, 8)})`}`);
  text('uptime', `up ${duration(now - started)}`);
}

function tile(name, value, note, state) {
  return el('div', { 'data-state': state }, el('dt', {}, name), el('dd', {}, el('span', { class: 'value' }, value), el('span', { class: 'note' }, note)));
}

export function tiles(state, traffic) {
  const totals = Object.fromEntries(LISTS.map(([name]) => [name, sum(traffic.verdicts[name])]));
  const rate = traffic.verdicts.success.slice(-2, -1)[0] / (traffic.width / 1000);
  const refused = sum(traffic.refused);
  const waiting = state.journal.events;
  const data = [
    ['Delivered', count(totals.success), `${decimal(rate)} per second now`],
    ['Retried', count(totals.retried), 'IDaaS sends them again', totals.retried > 0 && 'warning'],
    ['Dead letters', count(totals.failed), 'fit no record', totals.failed > 0 && 'warning'],
    ['Callbacks refused', count(refused), refused > 0 ? traffic.refusals.slice(0, 2).map(({ code, callbacks }) => `${code} ${count(callbacks)}`).join(', ') : 'none', refused > 0 && 'warning'],
    ['In the journal', count(waiting), waiting > 0 ? `oldest ${duration(state.now - state.journal.oldest)}` : 'nothing waits', waiting > 0 && 'warning'],
    ['In memory', count(state.inFlight.events), `of ${count(state.inFlight.eventsLimit)} events`],
  ];
  show('tiles', data, (tiles) => tiles.map(([name, value, note, state]) => tile(name, value, note, state || null)));
}

export function traffic({ verdicts, width, latency }) {
  const seconds = width / 1000;
  const series = LISTS.map(([name]) => ({ name, values: verdicts[name].map((value) => value / seconds) }));
  const totals = LISTS.map(([name, text]) => [name, text, sum(verdicts[name])]);
  const description = `Answers of the last 15 minutes: ${totals.map(([, text, total]) => `${count(total)} ${text}`).join(', ')}`;
  show('traffic-chart', series, () => stacked(description, series));
  show('traffic-legend', totals, () => totals.map(([name, text, total]) =>
    el('li', {}, el('span', { class: `swatch series-${name}`, 'aria-hidden': 'true' }), `${text} `, el('b', {}, count(total)))));
  const known = latency.filter((value) => value !== null);
  const now = known.at(-1);
  const facts = known.length === 0 ? ['no record was confirmed'] : [`now ${decimal(now)} ms`, `highest ${decimal(Math.max(...known))} ms`];
  show('latency-chart', latency, () => line(`Mean time until Kafka confirms a record: ${facts.join(', ')}`, latency));
  show('latency-legend', facts, () => facts.map((fact) => el('li', {}, fact)));
}

export function kafka({ now, kafka }) {
  const state = kafka.available ? 'available' : kafka.since ? 'unavailable' : 'not known yet';
  text('kafka-state', state);
  byId('kafka-state').dataset.state = kafka.available ? 'ok' : 'critical';
  const unavailable = kafka.partitionsUnavailable;
  const data = [
    ['Breaker', kafka.available ? 'closed' : 'open', kafka.available ? null : 'critical'],
    ['Since', kafka.since ? `${clock(kafka.since)}, ${duration(now - kafka.since)}` : '–'],
    ['Partitions unavailable', unavailable.length === 0 ? 'none' : unavailable.map(({ topic, partitions }) => `${topic}: ${count(partitions)}`).join(', '), unavailable.length > 0 ? 'critical' : null],
    ['With the producer', `${plural(kafka.queueEvents, 'record')}, ${bytes(kafka.queueBytes)}`],
    ['Round trip', kafka.brokers.length === 0 ? '–' : kafka.brokers.map(({ id, milliseconds }) => `${id}: ${decimal(milliseconds)} ms`).join(', ')],
    ['Requests repeated', count(kafka.retries), null],
    ['Producer replaced', kafka.producerRecreated === 0 ? 'never' : `${count(kafka.producerRecreated)}×`, kafka.producerRecreated > 0 ? 'warning' : null],
  ];
  show('kafka', data, (pairs) => pairs.map((entry) => pair(...entry)));
}

export function journal({ now, journal, quarantine }) {
  text('journal-state', journal.events === 0 ? 'empty' : plural(journal.events, 'event waits', 'events wait'));
  byId('journal-state').dataset.state = journal.events === 0 ? 'ok' : 'warning';
  show('journal-fill', [journal.bytes, journal.limitBytes], () => gauge(`The journal is ${percent(journal.bytes, journal.limitBytes)} full`, journal.bytes, journal.limitBytes));
  const data = [
    ['Used', `${bytes(journal.bytes)} of ${bytes(journal.limitBytes)}, ${percent(journal.bytes, journal.limitBytes)}`],
    ['Oldest event', journal.oldest ? `${duration(now - journal.oldest)} old` : '–', null],
    ...journal.waiting.map(({ code, events }) => [`Waits: ${code}`, count(events), 'warning']),
    ['Published from it', count(journal.replayed), null],
    ['Rejected', journal.rejected === 0 ? 'none' : plural(journal.rejected, 'event'), journal.rejected > 0 ? 'critical' : null],
  ];
  show('journal', data, (pairs) => pairs.map((entry) => pair(...entry)));
  text('quarantine-state', quarantine.callbacks === 0 ? 'empty' : plural(quarantine.callbacks, 'callback waits', 'callbacks wait'));
  byId('quarantine-state').dataset.state = quarantine.callbacks === 0 ? 'ok' : 'warning';
  show('quarantine-fill', [quarantine.bytes, quarantine.limitBytes], () =>
    gauge(`The quarantine is ${percent(quarantine.bytes, quarantine.limitBytes)} full`, quarantine.bytes, quarantine.limitBytes));
  const more = [
    ['Used', `${bytes(quarantine.bytes)} of ${bytes(quarantine.limitBytes)}, ${percent(quarantine.bytes, quarantine.limitBytes)}`],
    ...quarantine.reasons.map(({ code, callbacks }) => [`Reason: ${code}`, count(callbacks), 'warning']),
    ['Rejected', quarantine.rejected === 0 ? 'none' : plural(quarantine.rejected, 'callback'), quarantine.rejected > 0 ? 'critical' : null],
  ];
  show('quarantine', more, (pairs) => pairs.map((entry) => pair(...entry)));
}

function keySet({ keys, keysAge }) {
  if (keys === 0) return el('span', { 'data-state': 'critical' }, 'no keys yet');
  return `${plural(keys, 'key')}, ${duration(keysAge)} old`;
}

function decryption({ decryptionKeys, keyInUse }) {
  if (decryptionKeys === 0) return 'none configured';
  if (keyInUse === null) return `none used, of ${count(decryptionKeys)}`;
  const text = `${['1st', '2nd', '3rd'][keyInUse] ?? `${keyInUse + 1}th`} of ${count(decryptionKeys)}`;
  return keyInUse === 0 ? text : el('span', { 'data-state': 'warning' }, text);
}

const APPLICATION = [
  { name: 'Application' }, { name: 'Last 15 minutes' }, { name: 'Delivered', numeric: true }, { name: 'Skipped', numeric: true },
  { name: 'Dead letters', numeric: true }, { name: 'Retried', numeric: true }, { name: 'Refused', numeric: true },
  { name: 'Key set' }, { name: 'Decryption key in use' }, { name: 'Last callback' },
];

const none = (value) => (value === 0 ? el('span', { class: 'zero' }, '0') : count(value));

export function applications(state, traffic) {
  const of = new Map(traffic.applications.map((application) => [application.name, application]));
  const silent = { success: 0, skipped: 0, failed: 0, retried: 0, refused: 0 };
  const rows = state.applications.rows.map((row) => ({ ...silent, total: 0, ...of.get(row.name), ...row }));
  rows.sort((one, other) => other.total - one.total || (one.name < other.name ? -1 : 1));
  const { others } = traffic;
  const shownRows = rows.map((row) => [
    row.name, spark(`${row.name}: ${plural(row.total, 'event')} in 15 minutes`, row.delivered ?? traffic.refused.map(() => 0), row.undelivered),
    none(row.success), none(row.skipped), none(row.failed), none(row.retried), none(row.refused),
    keySet(row), decryption(row), row.lastCallback ? `${duration(state.now - row.lastCallback)} ago` : 'none yet',
  ]);
  const unshown = state.applications.total - rows.length;
  if (unshown > 0) {
    shownRows.push([plural(unshown, 'other application'), spark('The other applications together', others.delivered, others.undelivered),
      none(others.success), none(others.skipped), none(others.failed), none(others.retried), none(others.refused), '', '', '']);
  }
  const { total, withoutKeys, oldestKeys } = state.applications;
  const note = [plural(total, 'application')];
  if (withoutKeys > 0) note.push(`${count(withoutKeys)} without public keys`);
  if (oldestKeys !== null) note.push(`oldest key set ${duration(oldestKeys)}`);
  text('applications-note', note.join(', '));
  show('applications', [rows.map(({ keysAge, lastCallback, ...rest }) => [rest, Math.floor(keysAge / 5000), lastCallback]), others, unshown, Math.floor(state.now / 5000)],
    () => table('Applications', APPLICATION, shownRows));
}

export function entities({ entities }) {
  const rows = entities.filter(({ total }) => total > 0);
  const columns = [{ name: 'Entity' }, { name: 'Last 15 minutes' }, { name: 'Records', numeric: true }];
  show('entities', rows, () => rows.length === 0 ? empty('No record was confirmed in the last 15 minutes.') :
    table('Records by entity', columns, rows.map(({ name, published, total }) => [name, spark(`${name}: ${plural(total, 'record')}`, published), count(total)])));
}

export function pushes({ now, pushes }) {
  const columns = [{ name: 'Application' }, { name: 'Begin' }, { name: 'Duration' }, { name: 'Users', numeric: true }, { name: 'Units', numeric: true }, { name: 'Groups', numeric: true }, { name: 'State' }];
  const rows = pushes.map(({ application, begin, end, users, units, groups }) => [
    application, clock(begin), duration(end - begin), count(users), count(units), count(groups),
    now - end < 60000 ? el('span', { 'data-state': 'ok' }, 'arriving') : `last record ${duration(now - end)} ago`,
  ]);
  show('pushes', [pushes, Math.floor(now / 10000)], () => rows.length === 0 ? empty('None has arrived.') : table('Full pushes', columns, rows));
}

export function materialize({ materialize }) {
  byId('materialize-panel').hidden = materialize === null;
  if (materialize === null) return;
  const { address, answers, ready, lag } = materialize;
  text('materialize-state', !answers ? 'does not answer' : ready ? 'ready' : 'joining or restoring');
  byId('materialize-state').dataset.state = answers && ready ? 'ok' : 'warning';
  const data = [['Listener', address], ...lag.map(({ topic, records }) => [topic, records === 0 ? 'no lag' : `${plural(records, 'record')} behind`])];
  show('materialize', data, (pairs) => pairs.map((entry) => pair(...entry)));
}

export function settings(sections) {
  byId('settings-panel').hidden = sections.length === 0;
  show('settings', sections, () => sections.map(({ name, values }) =>
    el('div', {}, el('h3', {}, name), el('dl', { class: 'pairs' }, values.map(([key, value]) => pair(key, value))))));
}
