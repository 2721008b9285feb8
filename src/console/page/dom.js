// Elements, numbers and times for people. Text is always set as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';
const integer = new Intl.NumberFormat('en');

export const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Replaces the content of an element, but only if what it shows has changed: hovering, selecting and reading aloud go on.
const shown = new Map();
export function show(id, data, render) {
  const key = JSON.stringify(data);
  if (shown.get(id) === key) return;
  shown.set(id, key);
  byId(id).replaceChildren(...[render(data)].flat());
}

export function text(id, value) {
  const element = byId(id);
  if (element.textContent !== value) element.textContent = value;
}

export const count = (value) => integer.format(value);

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

// At most three significant digits, and no zeros at the end.
export function decimal(value) {
  if (value >= 100) return count(Math.round(value));
  return value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, '');
}

export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? count(value) : decimal(value)} ${units[unit]}`;
}

export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days} d` : `${days} d ${hours % 24} h`;
}

const two = (value) => String(value).padStart(2, '0');

export function clock(milliseconds) {
  const time = new Date(milliseconds);
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} `;
  const today = new Date().toDateString() === time.toDateString();
  return `${today ? '' : day}${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

export const pair = (name, value, state) => el('div', {}, el('dt', {}, name), el('dd', { 'data-state': state }, value));

// A table that stays a table for assistive technology where narrow screens lay its cells out differently.
export function table(label, columns, rows) {
  const head = columns.map(({ name, numeric }) => el('th', { role: 'columnheader', scope: 'col', class: numeric && 'number' }, name));
  const cell = (value, { name, numeric }, index) =>
    el(index === 0 ? 'th' : 'td', { role: index === 0 ? 'rowheader' : 'cell', scope: index === 0 && 'row', class: numeric && 'number', 'data-label': name }, value);
  const body = rows.map((row) => el('tr', { role: 'row' }, row.map((value, index) => cell(value, columns[index], index))));
  return el('table', { role: 'table', 'aria-label': label },
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, head)),
    el('tbody', { role: 'rowgroup' }, body));
}

export const empty = (sentence) => el('p', { class: 'empty' }, sentence);
