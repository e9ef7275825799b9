// The profile of one district, or of two side by side. Every figure of visits stands with its interval.
import { bars, count, esc, give, lines, percent, week, whiskers } from './charts.js';
import { language, t } from './words.js';

const signed = v => `${v >= 0 ? '▲' : '▼'} ${percent(Math.abs(v), 1)}`;
const trend = one => one ? `<span class="${one.low > 0 ? 'up' : one.high < 0 ? 'down' : 'flat'}">${signed(one.value)}</span> <small>${give(one, v => percent(v, 1))}</small>` : '–';
const day = moment => new Date(moment).toLocaleDateString(language, { day: 'numeric', month: 'short' });
const tenth = n => n.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredth = n => n.toLocaleString(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const cell = words => `<td>${words}</td>`;

// profiles: one or two; others: districts that can stand beside it.
// categories: their names by code.
export function panel(profiles, others, categories) {
  const two = profiles.length > 1, [first] = profiles;
  const heads = profiles.map(p => `<div><h2>${esc(p.district.name)}</h2><p>${hundredth(p.district.area_m2 / 1e6)} km²${p.district.attribution ? `, ${esc(p.district.attribution)}` : ''}</p></div>`).join('');
  const beside = others.filter(one => one.id !== first.district.id).map(one => `<option value="${one.id}"${profiles[1]?.district.id === one.id ? ' selected' : ''}>${esc(one.name)}</option>`).join('');
  return `<div class="heads${two ? ' two' : ''}">${heads}</div>`
    + (beside ? `<p class="hint"><label for="beside">${t('Beside it')}</label> <select id="beside"><option value="">${t('no other district')}</option>${beside}</select></p>` : '')
    + facts(profiles) + visits(profiles) + parts(profiles) + kinds(profiles, categories) + hours(profiles) + (two ? '' : origins(first) + peers(first));
}

function facts(profiles) {
  const row = (name, write) => `<tr><th scope="row">${name}</th>${profiles.map(p => cell(write(p))).join('')}</tr>`;
  const demand = write => p => p.demand?.visits ? write(p.demand) : `<small>${t('not shown')}</small>`;
  return `<table class="facts"><caption class="sr">${t('Figures')}</caption><tbody>`
    + row(t('Visits a week'), demand(d => `${count(d.visits.value)} <small>${t('{low} to {high}', { low: count(d.visits.low), high: count(d.visits.high) })}</small>`))
    + row(t('a store'), demand(d => d.per_store ? `${tenth(d.per_store.value)} <small>${t('{low} to {high}', { low: tenth(d.per_store.low), high: tenth(d.per_store.high) })}</small>` : '–'))
    + row(t('against the week before'), demand(d => trend(d.change)))
    + row(t('came back within a month'), demand(d => d.returns ? `${percent(d.returns.value)} <small>${give(d.returns, v => percent(v, 1))}</small>` : `<small>${t('not shown')}</small>`))
    + row(t('ground that is shown'), p => p.demand ? percent(p.demand.shown_share) : '–')
    + row(t('Stores'), p => `${count(p.stores.count)} <small>${t('{count} a km²', { count: count(p.stores.per_km2) })}</small>`)
    + row(t('opened, closed since {day}', { day: day(profiles[0].change.since) }), p => `${p.change.opened}, ${p.change.closed}`)
    + row(t('Offers'), p => `${count(p.offers.count)}${p.offers.sample ? ` <small>${t('sample')}</small>` : ''}`)
    + row(t('Rating'), p => p.ratings.mean ? `${hundredth(p.ratings.mean)} <small>${t('of {count}', { count: count(p.ratings.count) })}${p.ratings.sample ? `, ${t('sample')}` : ''}</small>` : '–')
    + '</tbody></table>';
}

function visits(profiles) {
  const series = profiles.map(p => p.demand?.series ?? []);
  if (!series.some(s => s.length > 1)) return '';
  const words = profiles.map((p, i) => series[i].length ? `${p.district.name}: ${series[i][0].period} ${count(series[i][0].value)}, ${series[i].at(-1).period} ${count(series[i].at(-1).value)}` : '').filter(Boolean).join('; ');
  return `<h3>${t('Visits a week, {first} to {last}, with their interval', { first: series.find(s => s.length)[0].period, last: series.find(s => s.length).at(-1).period })}</h3>${lines(series, { w: 360, h: 96, label: words })}`;
}

function parts(profiles) {
  const known = profiles.filter(p => p.demand?.day_parts);
  if (known.length < profiles.length) return '';
  const names = known[0].demand.day_parts.shares.map(one => one.part);
  const groups = names.map((name, i) => ({ name: t(name), values: known.map(p => p.demand.day_parts.shares[i]) }));
  return `<h3>${t('Share of each part of the day')}, ${esc(known[0].demand.day_parts.period)}</h3>${whiskers(groups, { label: t('Share of each part of the day') })}<p class="hint">${t('Of the cells around it, resolution {resolution}: parts of the day are released no finer.', known[0].demand.day_parts)}</p>`;
}

function kinds(profiles, categories) {
  const names = [...new Set(profiles.flatMap(p => p.stores.by_category.slice(0, 8).map(one => one.category)))].slice(0, 10);
  if (!names.length) return '';
  const of = (p, name) => p.stores.by_category.find(one => one.category === name)?.stores ?? 0;
  return `<h3>${t('Stores by category')}</h3>${bars(names.map(name => ({ name: categories.get(name) ?? name, values: profiles.map(p => of(p, name)) })), { label: t('Stores by category') })}`;
}

function hours(profiles) {
  return profiles.filter(p => p.open_hours.share).map(p => `<h3>${t('Open hours: share of {count} stores open', { count: count(p.open_hours.timed) })}${profiles.length > 1 ? `, ${esc(p.district.name)}` : ''}</h3>${week(p.open_hours.share, t('Share of stores open in {name}, by weekday and hour', { name: p.district.name }))}`).join('');
}

function origins(p) {
  const found = p.demand?.origins;
  if (!found?.items.length) return '';
  return `<h3>${t('Where its visitors are otherwise seen most')}, ${esc(found.period)}</h3>${whiskers(found.items.slice(0, 6).map(one => ({ name: one.cell.replace(/f+$/, ''), values: [one] })), { label: t('Visitors by the cell they are otherwise seen in'), write: count })}`;
}

function peers(p) {
  if (!p.peers.length) return '';
  return `<h3>${t('Districts like it')}</h3><ul class="peers">${p.peers.map(one => `<li><button type="button" data-beside="${one.id}">${esc(one.name)}</button> <span>${t('{count} stores, {share} alike', { count: count(one.stores), share: percent(one.likeness) })}</span></li>`).join('')}</ul>`;
}
