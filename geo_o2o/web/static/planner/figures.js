// What the page says in words and numbers about what the map shows.
import { count, esc, percent } from '../charts.js';
import { language, t } from '../words.js';
import { $, DEMAND, FIXED, state, TITLES } from './state.js';

const decimal = (n, digits) => n.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const written = v => FIXED[state.layer] ? (state.layer === 'rating' ? decimal(v, 1) : percent(v)) : count(v);

export function legend() {
  $('legend-title').textContent = TITLES[state.layer];
  const hidden = state.layer in DEMAND ? `<p class="unshown"><i></i>${t('not shown: fewer than 20 people, or too few to tell')}</p>` : '';
  $('swatches').innerHTML = state.breaks.map((least, i) => `<div class="sw"><i class="c${i}"></i>${i || !FIXED[state.layer] || state.layer === 'rating' ? written(least) : '&gt;0'}${i === 6 ? '+' : ''}</div>`).join('') + hidden;
}

function dated(period) {
  if (!period.includes('W')) return new Date(`${period}-15T12:00Z`).toLocaleDateString(language, { month: 'long', year: 'numeric' });
  const [year, week] = period.split('-W').map(Number), fourth = new Date(Date.UTC(year, 0, 4));
  const monday = new Date(fourth.getTime() + 864e5 * (7 * (week - 1) - (fourth.getUTCDay() + 6) % 7));
  return t('Week of {day}', { day: monday.toLocaleDateString(language, { day: 'numeric', month: 'short', timeZone: 'UTC' }) });
}

export function figures() {
  const shown = state.cells.features.filter(f => !f.properties.hidden && f.properties.shown > 0), hidden = state.cells.features.filter(f => f.properties.hidden);
  if (state.layer in DEMAND && state.about?.terms) {
    const period = state.periods[state.period], year = state.city.spent.find(one => one.year === Number(period.slice(0, 4))), margin = shown.length ? Math.round(1.96 * 1.414 * state.about.terms.scale * Math.sqrt(shown.length)) : 0;
    const total = state.layer === 'returns' ? null : shown.reduce((sum, f) => sum + f.properties.shown, 0);
    $('when').textContent = dated(period);
    $('whensub').textContent = total === null ? t('{count} cells', { count: shown.length }) : t('{count} ± {margin} people', { count: count(total), margin: count(margin) });
    $('period').setAttribute('aria-valuetext', `${dated(period)}, ${$('whensub').textContent}`);
    $('kpis').innerHTML = `<div><dt>${DEMAND[state.layer] === 'week' ? t('People this week') : t('People this month')}</dt><dd>${total === null ? '–' : count(total)}<small>${total === null ? '' : t('± {margin}, counted per cell', { margin: count(margin) })}</small></dd></div>`
      + `<div><dt>${t('Cells shown')}</dt><dd>${shown.length}<small>${t('{count} areas not shown', { count: hidden.length })}</small></dd></div><div><dt>${t('Privacy spent {year}', { year: year?.year ?? '' })}</dt><dd>ε ${year ? count(year.epsilon) : '–'}<small>${t('of {limit} a year', { limit: year?.limit ?? '–' })}</small></dd></div>`;
    timeBars();
  } else {
    const sum = name => shown.reduce((total, f) => total + (f.properties[name] ?? 0), 0);
    $('kpis').innerHTML = state.about?.features ? `<div><dt>${t('Stores in view')}</dt><dd>${count(sum('stores'))}<small>${t('live and exact')}</small></dd></div><div><dt>${t('Offers')}</dt><dd>${count(sum('offers'))}<small>${t('that hold now')}</small></dd></div><div><dt>${t('Cells')}</dt><dd>${count(shown.length)}<small>${t('resolution {resolution}', state.about)}</small></dd></div>` : '';
  }
}

function timeBars() {
  const own = state.releases.filter(one => one.product === state.layer), width = 240 / Math.max(own.length, 1), most = Math.max(...own.map(one => one.total), 1);
  $('bars').setAttribute('viewBox', '0 0 240 44');
  $('bars').innerHTML = own.map((one, i) => { const h = 2 + one.total / most * 40; return `<rect x="${(i * width + width * .08).toFixed(2)}" y="${(44 - h).toFixed(2)}" width="${(width * .84).toFixed(2)}" height="${h.toFixed(2)}" rx="1"${i === state.period ? ' class="on"' : ''}/>`; }).join('');
}

// What a cell holds, in a few words.
function stock(one) {
  return [
    t('{count} offers', { count: count(one.offers) }),
    one.rating_mean ? t('rating {mean} of {count}', { mean: decimal(one.rating_mean, 2), count: count(one.rating_count) }) : t('no rating'),
    ...(one.open_share === null || one.open_share === undefined ? [] : [t('{share} open', { share: percent(one.open_share) })]), ...(one.sample ? [t('sample')] : []),
  ];
}

export function tip(p, point) {
  const one = state.cells.features.find(f => f.properties.cell === p.cell)?.properties ?? p;
  let words;
  if (one.hidden) words = `<b>${t('Not shown')}</b><div class="m">${t('fewer than 20 people, or too few to tell from the noise that protects them')}</div>`;
  else if (state.layer === 'returns') words = `<b class="num">${percent(one.shown)}</b> <span class="m">${t('came on two days or more')}</span><div class="m">${t('between {low} and {high}, with 95 %', { low: percent(one.low), high: percent(one.high) })}</div>`;
  else if (state.layer in DEMAND) words = `<b class="num">${count(one.shown || 0)}</b> <span class="m">${t('people')}</span><div class="m">${t('between {low} and {high}, with 95 %', { low: count(one.low), high: count(one.high) })}</div>`;
  else words = `<b class="num">${count(one.stores)}</b> <span class="m">${t('stores')}</span><div class="m">${stock(one).join(', ')}</div>`;
  const box = $('tip');
  box.innerHTML = `${words}<div class="m">${t('cell {cell}', { cell: esc(one.cell) })}</div>`;
  box.dataset.cell = one.cell;
  box.hidden = false;
  if (!point) return;
  box.style.left = `${Math.min(point.x + 16, $('map').clientWidth - box.offsetWidth - 8)}px`;
  box.style.top = `${Math.max(8, point.y - box.offsetHeight - 14)}px`;
}
