// Small charts as SVG and tables. No inline style, so that a strict policy holds; every figure stands in words beside or inside them.
import { language, t } from './words.js';

export const esc = text => String(text).replace(/[&<>"']/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }[c]));
export const count = n => Math.round(n).toLocaleString(language);
export const percent = (n, digits = 0) => n.toLocaleString(language, { style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits });
// Half of an interval, as it is written behind a figure.
export const give = (one, write = count) => `± ${write((one.high - one.low) / 2)}`;
// Monday first; the first of January 2024 was one.
export const DAYS = Array.from({ length: 7 }, (_, i) => new Date(Date.UTC(2024, 0, 1 + i)).toLocaleDateString(language, { weekday: 'short', timeZone: 'UTC' }));

// Lines over periods with their intervals as bands; the second one is dashed. series: lists of {value, low, high}, of one length.
export function lines(series, { w, h, now = -1, label = '' }) {
  const all = series.flat(), most = Math.max(...all.map(p => p.high), 1), n = Math.max(...series.map(s => s.length));
  const x = i => (n > 1 ? i / (n - 1) : 0.5) * w, y = v => h - 2 - v / most * (h - 4);
  const along = (points, name) => points.map((p, i) => `${x(i).toFixed(1)},${y(p[name]).toFixed(1)}`);
  const drawn = series.map((points, which) => points.length ? `<path class="${which ? 'b2' : 'band'}" d="M${along(points, 'high').join('L')}L${along(points, 'low').reverse().join('L')}Z"/>`
    + `<path class="l${which ? ' l2' : ''}" d="M${along(points, 'value').join('L')}"/>` : '').join('');
  const mark = now >= 0 ? `<line class="nowline" x1="${x(now)}" x2="${x(now)}" y1="0" y2="${h}"/>` : '';
  const words = label ? `role="img" aria-label="${esc(label)}"` : 'aria-hidden="true"';
  return `<svg class="chart" viewBox="0 0 ${w} ${h}" preserveAspectRatio="none" ${words}>${drawn}${mark}</svg>`;
}

// Bars with whiskers, one group a row. groups: [{name, values: [{value, low, high}, ...]}]
export function whiskers(groups, { label, write = v => percent(v) }) {
  const w = 360, left = 84, right = 66, each = Math.max(...groups.map(g => g.values.length)), row = 12 * each + 12, h = groups.length * row;
  const most = Math.max(...groups.flatMap(g => g.values.map(v => v.high)), 1e-9), x = v => left + v / most * (w - left - right);
  const drawn = groups.map((g, i) => `<text x="0" y="${i * row + row / 2 + 4}">${esc(g.name)}</text>` + g.values.map((v, k) => {
    const y = i * row + 5 + 12 * k, mid = y + 5;
    return `<rect class="bar${k}" x="${left}" y="${y}" width="${Math.max(x(v.value) - left, 1).toFixed(1)}" height="10" rx="2"/>`
      + `<path class="whisk" d="M${x(v.low).toFixed(1)},${mid}H${x(v.high).toFixed(1)}m0,-3v6M${x(v.low).toFixed(1)},${mid - 3}v6"/>`
      + `<text class="val" x="${(x(v.high) + 7).toFixed(1)}" y="${mid + 4}">${write(v.value)}</text>`;
  }).join('')).join('');
  const words = groups.map(g => `${g.name} ${g.values.map(v => `${write(v.value)} (${t('{low} to {high}', { low: write(v.low), high: write(v.high) })})`).join(', ')}`).join(', ');
  return `<svg class="chart" viewBox="0 0 ${w} ${h}" role="img" aria-label="${esc(`${label}: ${words}`)}">${drawn}</svg>`;
}

// Plain bars. groups: [{name, values: [numbers]}]
export function bars(groups, { label }) {
  const w = 360, left = 132, right = 40, each = Math.max(...groups.map(g => g.values.length), 1), row = 10 * each + 9, h = groups.length * row;
  const most = Math.max(...groups.flatMap(g => g.values), 1), x = v => v / most * (w - left - right);
  const drawn = groups.map((g, i) => `<text x="0" y="${i * row + row / 2 + 4}">${esc(g.name)}</text>` + g.values.map((v, k) => `<rect class="bar${k}" x="${left}" y="${i * row + 4 + 10 * k}" width="${Math.max(x(v), v ? 1.5 : 0).toFixed(1)}" height="8.5" rx="2"/><text class="val" x="${(left + x(v) + 6).toFixed(1)}" y="${i * row + 12 + 10 * k}">${count(v)}</text>`).join('')).join('');
  return `<svg class="chart" viewBox="0 0 ${w} ${h}" role="img" aria-label="${esc(`${label}: ${groups.map(g => `${g.name} ${g.values.map(count).join(', ')}`).join(', ')}`)}">${drawn}</svg>`;
}

// Which share is open at each hour of a week: a table whose cells hold their figure.
export function week(shares, title) {
  const level = v => v <= 0 ? 0 : Math.min(7, 1 + Math.floor(v * 6.999));
  const head = [0, 6, 12, 18].map(hour => `<th colspan="6" scope="colgroup">${hour}</th>`).join('');
  const rows = DAYS.map((day, d) => `<tr><th scope="row">${day}</th>${shares.slice(24 * d, 24 * d + 24).map((v, hour) => `<td class="h${level(v)}" title="${day} ${hour}:30, ${t('{share} open', { share: percent(v) })}">${percent(v)}</td>`).join('')}</tr>`).join('');
  return `<table class="week"><caption class="sr">${esc(title)}</caption><colgroup><col class="lab"></colgroup><thead><tr><td></td>${head}</tr></thead><tbody>${rows}</tbody></table>`;
}
