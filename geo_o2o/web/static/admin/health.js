// How it goes: what to look at first, the public log, and the worker's jobs.
import { json } from '../api.js';
import { t } from '../words.js';
import { $, ago, alarm, count, day, element, fill, line, took } from './page.js';

const NOTICES = {
  hours_ran_out: t('Opening hours have run out, so nothing counts as open. Is the worker running?'),
  log: t('The public log does not grow or is not seen. Is the worker running, is its disk full, do its witnesses answer?'),
  worker_silent: t('The worker has been silent for minutes. Is it running?'),
  worker_never: t('No worker has ever run on this database. Start one with the command geo-o2o worker: it extends opening hours, publishes the log and erases what is old.'),
  job_fails: t('A job of the worker fails; the table says which one and why.'),
  shelf: t('Snapshots cannot be written, so nearby is answered by the database. Is the disk full?'),
};
const JOBS = {
  'erase again': t('Erase again who was erased before a restored backup'), 'offers follow moved stores': t('Offers follow stores that moved'),
  'extend opening hours': t('Extend opening hours'), 'districts begin and end': t('Districts begin and end'), 'forget old requests': t('Forget old requests'),
  'erase old evidence': t('Erase old positions'), 'issue receipts': t('Issue receipts'), 'sequence the log': t('Give log entries their places'),
  'publish the log': t('Publish the log'), 'close ended logs': t('Close logs of ended half-years'), 'log the list of voids': t('Log what was taken back'),
  'forget old receipts': t('Forget old receipts'), 'forget spent challenges': t('Forget spent challenges'), 'roll up supply': t('Roll up supply'),
  'release heat': t('Release heat'), 'forget ended sign-ins': t('Forget sign-ins that have ended'), 'forget used proofs': t('Forget used proofs'),
};

export async function drawHealth() {
  const found = await json('/v1/status'), now = Date.parse(found.at);
  const notices = found.warnings.map(one => element('li', { class: 'bad' }, alarm(), element('span', one.code in NOTICES ? { title: one.text } : { lang: 'en' }, NOTICES[one.code] ?? one.text)));
  fill($('warnings'), notices.length ? notices : [element('li', { class: 'good' }, t('Nothing to worry about.'))], JSON.stringify(found.warnings));
  const facts = [
    [t('Version'), found.version], [t('Migration'), found.migration], [t('Worker seen'), found.worker_seen_at ? ago(found.worker_seen_at, now) : t('never')],
    [t('Hours known until'), found.opening_hours_known_until ? day(found.opening_hours_known_until) : '–'],
    [t('Stores in memory'), found.shelf ? count(found.shelf.stores) : t('switched off')], [t('Offers in memory'), found.shelf ? count(found.shelf.offers) : t('switched off')],
  ];
  $('facts').replaceChildren(...facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
  fill($('logs').tBodies[0], found.logs.map(one => logLine(one, now)), JSON.stringify([found.logs, Math.floor(now / 10_000)]));
  $('logs').parentElement.hidden = !found.logs.length;
  $('no-logs').hidden = found.logs.length > 0;
  fill($('jobs').tBodies[0], found.jobs.map(one => jobLine(one, now)), JSON.stringify([found.jobs, Math.floor(now / 10_000)]));
  $('jobs').parentElement.hidden = !found.jobs.length;
}

function logLine(one, now) {
  const [word, kind] = one.frozen ? [t('frozen'), 'bad'] : one.waiting || one.published_size < one.size ? [t('behind'), 'soft'] : [t('up to date'), 'good'];
  return line([one.shard, [count(one.size), 'n'], [count(one.published_size), 'n'], one.published_at ? ago(one.published_at, now) : '–', [count(one.waiting), 'n'], [word, `state ${kind}`]]);
}

function jobLine(one, now) {
  const state = one.trouble ? element('span', {}, t('fails'), element('span', { class: 'why', lang: 'en' }, one.trouble)) : t('works');
  const name = one.name in JOBS ? JOBS[one.name] : element('span', { lang: 'en' }, one.name);
  return line([name, ago(one.ran_at, now), [took(one.took_ms), 'n'], one.worked_at ? ago(one.worked_at, now) : '–', [one.worked_at ? count(one.rows) : '–', 'n'], [state, `state ${one.trouble ? 'bad' : 'good'}`]], { 'data-job': one.name });
}
