// Small plots: bars for counts, a line for times. Each is one SVG that stretches to its place.

import { el, svg } from './dom.js';

const HEIGHT = 100;

// The smallest of 1, 2, 5, 10, … that is not below a value.
export function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= value * 0.999);
  return step * power;
}

const label = (value) => (value >= 1000 ? `${value / 1000}k` : String(Number(value.toPrecision(3))));

const bar = (index, bottom, height, name) =>
  svg('rect', { x: index + 0.1, y: HEIGHT - bottom - height, width: 0.8, height, class: `series-${name}` });

function frame(description, buckets, labels, marks) {
  const grid = [0.5, 1].map((part) =>
    svg('line', { x1: 0, x2: buckets, y1: HEIGHT * (1 - part), y2: HEIGHT * (1 - part), class: 'grid' }));
  const plot = svg('svg', { viewBox: `0 0 ${buckets} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': description }, grid, marks);
  const axis = labels.map((value) => el('span', {}, label(value)));
  const times = ['15 min ago', '10 min', '5 min', 'now'].map((time) => el('span', {}, time));
  return [
    el('div', { class: 'axis', 'aria-hidden': 'true' }, axis),
    el('div', { class: 'plot' }, plot),
    el('div', { class: 'times', 'aria-hidden': 'true' }, times),
  ];
}

// Stacked bars. `series` is a list of { name, values } from the bottom to the top.
export function stacked(description, series) {
  const buckets = series[0].values.length;
  const sums = Array.from({ length: buckets }, (_, index) => series.reduce((sum, { values }) => sum + values[index], 0));
  const top = ceiling(Math.max(...sums));
  const marks = [];
  for (let index = 0; index < buckets; index += 1) {
    let bottom = 0;
    for (const { name, values } of series) {
      if (values[index] <= 0) continue;
      const height = (values[index] / top) * HEIGHT;
      marks.push(bar(index, bottom, height, name));
      bottom += height;
    }
  }
  return frame(description, buckets, [top, top / 2, 0], marks);
}

// A line on a logarithmic scale, with gaps where there is no value (null): most values are small, and a few are not.
export function line(description, values) {
  const buckets = values.length;
  const known = values.filter((value) => value > 0);
  const low = known.length > 0 ? Math.floor(Math.log10(Math.min(...known))) : 0;
  const high = known.length > 0 ? Math.ceil(Math.log10(Math.max(...known))) : 2;
  // An even number of powers of ten, so that the middle is one.
  const powers = Math.max(2, high - low + ((high - low) % 2));
  let steps = '';
  let drawing = false;
  values.forEach((value, index) => {
    if (value === null) {
      drawing = false;
      return;
    }
    const x = index + 0.5;
    const y = (HEIGHT * (1 - (Math.log10(Math.max(value, 10 ** low)) - low) / powers)).toFixed(2);
    const alone = !drawing && (values[index + 1] ?? null) === null;
    steps += alone ? `M${x - 0.4} ${y}L${x + 0.4} ${y}` : `${drawing ? 'L' : 'M'}${x} ${y}`;
    drawing = true;
  });
  const path = svg('path', { d: steps || 'M0 0', class: 'line', 'vector-effect': 'non-scaling-stroke' });
  return frame(description, buckets, [powers, powers / 2, 0].map((power) => 10 ** (low + power)), [path]);
}

// Bars without axes, for a table. Values of `alarm` are drawn on top in the color of a warning.
export function spark(description, values, alarm) {
  const top = Math.max(1, ...values.map((value, index) => value + (alarm?.[index] ?? 0)));
  const marks = [];
  values.forEach((value, index) => {
    const height = (value / top) * HEIGHT;
    if (value > 0) marks.push(bar(index, 0, height, 'success'));
    if (alarm?.[index] > 0) marks.push(bar(index, height, (alarm[index] / top) * HEIGHT, 'retried'));
  });
  marks.push(svg('line', { x1: 0, x2: values.length, y1: HEIGHT, y2: HEIGHT, class: 'base' }));
  return svg('svg', { class: 'spark', viewBox: `0 0 ${values.length} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': description }, marks);
}

// How full something is.
export function gauge(description, value, limit) {
  const part = limit > 0 ? Math.min(1, value / limit) : 0;
  const level = part >= 0.9 ? 'critical' : part >= 0.7 ? 'warning' : 'ok';
  return svg('svg', { class: 'gauge', viewBox: '0 0 100 4', preserveAspectRatio: 'none', role: 'img', 'aria-label': description },
    svg('rect', { width: 100, height: 4, class: 'track' }),
    svg('rect', { width: part > 0 ? Math.max(part * 100, 0.6) : 0, height: 4, class: `level-${level}` }));
}
