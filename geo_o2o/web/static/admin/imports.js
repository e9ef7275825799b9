// What was brought in: how far it is, what it did, and which rows it refused.
import { json } from '../api.js';
import { t } from '../words.js';
import { $, ago, count, element, fill, frame, line, took } from './page.js';

const STATES = { running: [t('running'), 'soft'], loaded: [t('loaded'), 'good'], failed: [t('failed'), 'bad'], stopped: [t('stopped in the middle; nothing of it is here'), 'bad'] };
const ROWS = { stores: t('stores'), basemap: t('map'), samples: t('samples') };
const named = what => ROWS[what] ?? (what.endsWith(' districts') ? t('districts, {layer}', { layer: what.slice(0, -' districts'.length) }) : what);

export async function drawImports() {
  const { items } = await json('/v1/loads', { limit: 50 });
  fill($('loads'), items.map(loadLine), JSON.stringify([items.map(one => [one.id, one.state, one.rows]), Math.floor(Date.now() / 10_000)]));
  $('no-loads').hidden = items.length > 0;
}

function loadLine(one) {
  const [word, kind] = one.dry_run && one.state === 'loaded' ? [t('tried only; nothing was changed'), 'soft'] : STATES[one.state];
  const parts = [
    element('div', { class: 'head' }, element('b', {}, one.file || t('samples')), element('span', { class: 'soft' }, `${one.kind} · ${one.source}`), element('span', { class: `state ${kind}` }, word)),
    element('p', { class: 'soft' }, ago(one.started_at), one.finished_at ? ` · ${took(Date.parse(one.finished_at) - Date.parse(one.started_at))}` : '', one.rows ? ` · ${t('{rows} rows read', { rows: count(one.rows) })}` : ''),
  ];
  if (one.state === 'running') parts.push(element('progress', { 'aria-label': t('{file} is being read', { file: one.file }) }));
  if (one.trouble) parts.push(element('p', { class: 'bad', lang: 'en' }, one.trouble));
  if (one.reports.length) parts.push(report(one.reports));
  return element('li', { 'data-id': one.id }, ...parts);
}

const sum = counts => Object.values(counts).reduce((all, n) => all + n, 0);

function report(reports) {
  const heads = [t('What'), t('New'), t('Changed'), t('Unchanged'), t('Moved'), t('Refused')];
  const table = element('table', {}, element('thead', {}, element('tr', {}, ...heads.map((text, at) => element('th', { scope: 'col', class: at ? 'n' : null }, text)))));
  const body = table.createTBody();
  for (const one of reports) body.append(line([named(one.what), [count(one.new), 'n'], [count(one.changed), 'n'], [count(one.unchanged), 'n'], [count(one.moved), 'n'], [count(sum(one.refused)), 'n']]));
  const parts = [frame(t('What'), table)];
  const notes = reports.flatMap(one => Object.entries(one.notes));
  if (notes.length) parts.push(element('p', { class: 'soft', lang: 'en' }, notes.map(([reason, n]) => `${reason.replaceAll('_', ' ')}: ${count(n)}`).join(' · ')));
  const rows = reports.flatMap(one => one.rows), all = reports.reduce((total, one) => total + sum(one.refused), 0);
  if (rows.length) {
    const refused = element('table', {}, element('thead', {}, element('tr', {}, ...[t('Row'), t('Reason'), t('In words')].map(text => element('th', { scope: 'col' }, text)))));
    refused.createTBody().append(...rows.map(one => line([[element('bdi', {}, one.where), 'name'], one.reason, [element('bdi', { lang: 'en' }, one.detail), 'name']])));
    const said = rows.length < all ? t('The first {shown} of {count} refused rows', { shown: count(rows.length), count: count(all) }) : t('{count} refused rows', { count: count(all) });
    parts.push(element('details', {}, element('summary', { 'data-deed': 'refused' }, said), frame(said, refused)));
  }
  return element('div', {}, ...parts);
}
