// The console: follows the stream and hands each message to the parts of the page.

import { byId, text } from './dom.js';
import { Events } from './events.js';
import * as panels from './panels.js';
import { Stream } from './stream.js';

// In memory only: closing or reloading the page forgets it.
let token = null;
let state = null;
let traffic = null;

// How long the connection may be lost before the page says so in its headline.
const PATIENCE = 2000;

const LIVE = { connecting: 'Connecting', live: 'Live', lost: 'Connection lost', busy: 'Too many viewers' };

const events = new Events(() => token);

function draw() {
  if (!state || !traffic) return;
  panels.tiles(state, traffic);
  panels.applications(state, traffic);
}

// What is shown is old once there has been no connection for a moment, and the headline must not say that all is well.
let lost = null;

function connection(name) {
  byId('live').dataset.state = name;
  text('live-text', LIVE[name]);
  if (name === 'live') {
    clearTimeout(lost);
    lost = null;
    document.body.classList.remove('stale');
  } else {
    lost ??= setTimeout(() => {
      document.body.classList.add('stale');
      panels.lost(name === 'busy');
    }, PATIENCE);
  }
}

const messages = {
  state(message) {
    state = message;
    byId('login').hidden = message.ids;
    if (!message.ids) panels.settings([]);
    panels.status(message);
    panels.facts(message);
    panels.kafka(message);
    panels.journal(message);
    panels.pushes(message);
    panels.materialize(message);
    events.update(message);
    draw();
  },
  traffic(message) {
    traffic = message;
    panels.traffic(message);
    panels.entities(message);
    draw();
  },
  settings: (message) => panels.settings(message),
};

const stream = new Stream({ message: (name, data) => messages[name]?.(data), state: connection });

async function login(event) {
  event.preventDefault();
  token = byId('token').value.trim();
  byId('token').value = '';
  text('login-problem', '');
  if (!(await stream.start(token))) {
    token = null;
    text('login-problem', 'The token is wrong. Enter server.admin_token of the configuration in force.');
    stream.start(token);
  }
}

function theme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
}

byId('login').addEventListener('submit', login);
byId('theme').addEventListener('click', theme);
text('zone', Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'local time');
stream.start(token);
