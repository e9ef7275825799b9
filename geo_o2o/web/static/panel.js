// The profile of one district, or of two side by side. Every figure of visits stands with its interval.
import { bars, count, esc, give, lines, percent, week, whiskers } from './charts.js';

const signed = v => `${v >= 0 ? '▲' : '▼'} ${percent(Math.abs(v), 1)}`;
const trend = one => one ? `<span class="${one.low > 0 ? 'up' : one.high < 0 ? 'down' : 'flat'}">${signed(one.value)}</span> <small>${give(one, v => percent(v, 1))}</small>` : '–';
const day = moment => new Date(moment).toLocaleDateString('en', { day: 'numeric', month: 'short' });
const cell = words => `<td>${words}</td>`;

// profiles: one or two; others: districts that can stand beside it.
export function panel(profiles, others) {
  const two = profiles.length > 1, [first] = profiles;
  const heads = profiles.map(p => `<div><h2>${esc(p.district.name)}</h2><p>${(p.district.area_m2 / 1e6).toFixed(2)} km²${p.district.attribution ? `, ${esc(p.district.attribution)}` : ''}</p></div>`).join('');
  const beside = others.filter(one => one.id !== first.district.id).map(one => `<option value="${one.id}"${profiles[1]?.district.id === one.id ? ' selected' : ''}>${esc(one.name)}</option>`).join('');
  return `<div class="heads${two ? ' two' : ''}">${heads}</div>`
    + (beside ? `<p class="hint"><label for="beside">Beside it</label> <select id="beside"><option value="">no other district</option>${beside}</select></p>` : '')
    + facts(profiles) + visits(profiles) + parts(profiles) + categories(profiles) + hours(profiles) + (two ? '' : origins(first) + peers(first));
}

function facts(profiles) {
  const row = (name, write) => `<tr><th scope="row">${name}</th>${profiles.map(p => cell(write(p))).join('')}</tr>`;
  const demand = write => p => p.demand?.visits ? write(p.demand) : '<small>not shown</small>';
  return `<table class="facts"><caption class="sr">Figures</caption><tbody>`
    + row('Visits a week', demand(d => `${count(d.visits.value)} <small>${count(d.visits.low)} to ${count(d.visits.high)}</small>`))
    + row('a store', demand(d => d.per_store ? `${d.per_store.value.toFixed(1)} <small>${d.per_store.low.toFixed(1)} to ${d.per_store.high.toFixed(1)}</small>` : '–'))
    + row('against the week before', demand(d => trend(d.change)))
    + row('came back within a month', demand(d => d.returns ? `${percent(d.returns.value)} <small>${give(d.returns, v => percent(v, 1))}</small>` : '<small>not shown</small>'))
    + row('ground that is shown', p => p.demand ? percent(p.demand.shown_share) : '–')
    + row('Stores', p => `${count(p.stores.count)} <small>${count(p.stores.per_km2)} a km²</small>`)
    + row(`opened, closed since ${day(profiles[0].change.since)}`, p => `${p.change.opened}, ${p.change.closed}`)
    + row('Offers', p => `${count(p.offers.count)}${p.offers.sample ? ' <small>sample</small>' : ''}`)
    + row('Rating', p => p.ratings.mean ? `${p.ratings.mean.toFixed(2)} <small>of ${count(p.ratings.count)}${p.ratings.sample ? ', sample' : ''}</small>` : '–')
    + '</tbody></table>';
}

function visits(profiles) {
  const series = profiles.map(p => p.demand?.series ?? []);
  if (!series.some(s => s.length > 1)) return '';
  const words = profiles.map((p, i) => series[i].length ? `${p.district.name}: ${count(series[i][0].value)} in ${series[i][0].period}, ${count(series[i].at(-1).value)} in ${series[i].at(-1).period}` : '').filter(Boolean).join('; ');
  return `<h3>Visits a week, ${esc(series.find(s => s.length)[0].period)} to ${esc(series.find(s => s.length).at(-1).period)}, with their interval</h3>${lines(series, { w: 360, h: 96, label: words })}`;
}

function parts(profiles) {
  const known = profiles.filter(p => p.demand?.day_parts);
  if (known.length < profiles.length) return '';
  const names = known[0].demand.day_parts.shares.map(one => one.part);
  const groups = names.map((name, i) => ({ name, values: known.map(p => p.demand.day_parts.shares[i]) }));
  return `<h3>Share of each part of the day, ${esc(known[0].demand.day_parts.period)}</h3>${whiskers(groups, { label: 'Share of each part of the day' })}<p class="hint">Of the cells around it, resolution ${known[0].demand.day_parts.resolution}: parts of the day are released no finer.</p>`;
}

function categories(profiles) {
  const names = [...new Set(profiles.flatMap(p => p.stores.by_category.slice(0, 8).map(one => one.category)))].slice(0, 10);
  if (!names.length) return '';
  const of = (p, name) => p.stores.by_category.find(one => one.category === name)?.stores ?? 0;
  return `<h3>Stores by category</h3>${bars(names.map(name => ({ name: name.replace('.', ' · ').replaceAll('_', ' '), values: profiles.map(p => of(p, name)) })), { label: 'Stores by category' })}`;
}

function hours(profiles) {
  return profiles.filter(p => p.open_hours.share).map(p => `<h3>Open hours${profiles.length > 1 ? `, ${esc(p.district.name)}` : ''}: share of ${count(p.open_hours.timed)} stores open</h3>${week(p.open_hours.share, `Share of stores open in ${p.district.name}, by weekday and hour`)}`).join('');
}

function origins(p) {
  const found = p.demand?.origins;
  if (!found?.items.length) return '';
  return `<h3>Where its visitors are otherwise seen most, ${esc(found.period)}</h3>${whiskers(found.items.slice(0, 6).map(one => ({ name: one.cell.replace(/f+$/, ''), values: [one] })), { label: 'Visitors by the cell they are otherwise seen in', write: count })}`;
}

function peers(p) {
  if (!p.peers.length) return '';
  return `<h3>Districts like it</h3><ul class="peers">${p.peers.map(one => `<li><button type="button" data-beside="${one.id}">${esc(one.name)}</button> <span>${count(one.stores)} stores, ${percent(one.likeness)} alike</span></li>`).join('')}</ul>`;
}
