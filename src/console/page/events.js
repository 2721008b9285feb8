// The latest events, and the search for one among those that are in memory.

import { byId, clock, count, el, empty, plural, show, table, text } from './dom.js';
import { headers } from './stream.js';

const COLUMNS = [
  { name: 'Time' }, { name: 'Event' }, { name: 'Entity id' }, { name: 'Event id' }, { name: 'Application' }, { name: 'Verdict' },
  { name: 'Topic / partition / offset' }, { name: 'ms', numeric: true },
];

const LEVEL = { success: 'ok', skipped: null, failed: 'critical', retried: 'warning' };

const absent = () => el('span', { class: 'zero' }, '–');

function row({ time, type, entityId, eventId, application, list, verdict, topic, partition, offset, milliseconds }) {
  const id = (value) => (value ? el('code', {}, value) : absent());
  return [
    clock(time), type, id(entityId), id(eventId), application, el('span', { class: 'verdict', 'data-state': LEVEL[list] }, verdict),
    topic === null ? absent() : `${topic} / ${partition} / ${offset ?? '–'}`, milliseconds === null ? absent() : milliseconds.toFixed(milliseconds < 10 ? 2 : 1),
  ];
}

const selecting = () => {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && byId('events').contains(selection.anchorNode);
};

export class Events {
  constructor(token) {
    this.token = token;
    this.query = '';
    this.total = -1;
    byId('search').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#search();
    });
    byId('query').addEventListener('input', () => byId('query').value === '' && this.#search());
  }

  update({ ids, history, events }) {
    byId('search').hidden = !ids;
    byId('events').hidden = !ids;
    this.history = history;
    if (!ids) {
      text('events-note', '');
      show('events', null, () => []);
      return;
    }
    if (this.query !== '') {
      if (history.total !== this.total) this.#load();
      return;
    }
    text('events-note', history.held === 0 ? '' : `${plural(history.held, 'event')} in memory, since ${clock(history.oldest)}`);
    this.#show(events, 'No event has arrived since the start.');
  }

  #show(events, otherwise) {
    if (selecting()) return;
    show('events', events, () => (events.length === 0 ? empty(otherwise) : table('Latest events', COLUMNS, events.map(row))));
  }

  #search() {
    this.query = byId('query').value.trim();
    this.total = -1;
    if (this.query !== '') this.#load();
  }

  async #load() {
    this.total = this.history?.total ?? -1;
    const { query } = this;
    const parameters = new URLSearchParams({ query });
    const response = await fetch(`/console/events?${parameters}`, { headers: headers(this.token()), cache: 'no-store' }).catch(() => null);
    if (query !== this.query) return;
    if (!response?.ok) {
      text('events-note', 'The search failed.');
      return;
    }
    const { events, held } = await response.json();
    text('events-note', `${plural(events.length, 'match', 'matches')} among ${plural(held, 'event')} in memory`);
    this.#show(events, `Not in memory, which holds the latest ${count(held)} events. “idaas-bridge find ${query}” searches the topics and the journal.`);
  }
}
