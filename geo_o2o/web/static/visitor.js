// The visitor's page. The service renders the list and every place; this moves them: filters without reloading, pins, search, check-in, offline.
import { $, element } from './dom.js';
import { useKey } from './api.js';
import { themeButton } from './theme.js';
import { language, locale, t } from './words.js';
import { follow, greet } from './visitor/here.js';
import { notice, site } from './visitor/page.js';
import { startSearch } from './visitor/search.js';
import { saveButton, shareButton, showShelf } from './visitor/shelf.js';
import { closeVisit, startVisit } from './visitor/visit.js';

useKey(site.key);
let map = null, newest = 0, looked = null;
const form = $('ask');
const cards = () => [...$('list').querySelectorAll('.o')].map(one => ({ id: one.dataset.id, rank: Number(one.dataset.rank), lat: Number(one.dataset.lat), lng: Number(one.dataset.lng), name: one.dataset.name, offer: one.dataset.offer }));
const found = () => $('list').querySelector('.found');
const here = () => ({ lat: Number($('lat').value || found()?.dataset.lat || $('place').querySelector('.one')?.dataset.lat), lng: Number($('lng').value || found()?.dataset.lng || $('place').querySelector('.one')?.dataset.lng) });

// --- what the service renders ------------------------------------------------------------------------------------------------------------

// A part of a page as HTML of our own service. It says whether it was kept from an earlier answer, and from when.
async function part(path) {
  const url = new URL(path, location.href);
  url.searchParams.set('part', '1');
  if (new URLSearchParams(location.search).has('lang')) url.searchParams.set('lang', language);
  const answer = await fetch(url);
  if (!answer.ok && answer.status !== 404 && answer.status !== 410) throw new Error(String(answer.status));
  return [await answer.text(), answer.headers.get('X-Kept-At')];
}

function asked() {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  if (!query.has('price_max')) query.delete('currency');
  return `/?${query}`;
}

const stale = at => t('No connection. This is the answer from {time}.', { time: new Intl.DateTimeFormat(locale, { dateStyle: 'short', timeStyle: 'short' }).format(new Date(at)) });

// What was kept says so on itself, for as long as it stands.
function mark(part, keptAt) {
  part.querySelector('.stale')?.remove();
  if (keptAt) part.prepend(element('p', { class: 'notice warn stale', role: 'status' }, stale(keptAt)));
}

async function showList({ fit = true, push = true, said = false, path = asked() } = {}) {
  const own = ++newest;
  $('list').setAttribute('aria-busy', 'true');
  try {
    const [html, keptAt] = await part(path);
    if (own !== newest) return;
    $('list').innerHTML = html;
    // What was just said of the position stands.
    if (!said) notice('');
    mark($('list'), keptAt);
    if (push) history.pushState(null, '', path);
    $('price').hidden = !found().dataset.currency;
    if (!$('price').value) $('currency').value = found().dataset.currency;
    open('list');
    map?.showPins(cards(), { fit });
    map?.pickPin('');
    $('look').hidden = true;
  } catch {
    if (own === newest) notice(t('No connection, and this was not asked before. What you see is the last answer.'), true);
  } finally {
    if (own === newest) $('list').removeAttribute('aria-busy');
  }
}

async function showPlace(href, { push = true } = {}) {
  const own = ++newest;
  try {
    const [html, keptAt] = await part(href);
    if (own !== newest) return;
    closeVisit();
    $('place').innerHTML = html;
    if (push) history.pushState(null, '', href);
    open('place');
    notice('');
    mark($('place'), keptAt);
    dressPlace();
    $('place').focus({ preventScroll: true });
    $('sheet').scrollTop = 0;
  } catch {
    notice(t('No connection: this place was not looked at before.'), true);
  }
}

// One of the three stands in the column.
function open(name) {
  for (const id of ['list', 'place', 'shelf']) $(id).hidden = id !== name;
}

function dressPlace() {
  const one = $('place').querySelector('.one');
  const back = $('back');
  if (back && found()) back.onclick = event => { event.preventDefault(); newest++; closeVisit(); history.pushState(null, '', asked()); open('list'); map?.showPins(cards(), { fit: false }); };
  if (!one?.dataset.store) return;
  const { store, offer, name, title } = one.dataset;
  const place = { id: offer || store, store, name, title, href: offer ? `/offers/${offer}?store=${store}` : `/stores/${store}` };
  $('deeds').hidden = false;
  $('checkin').hidden = !site.key || !crypto.subtle;
  $('checkin').onclick = () => startVisit(place);
  saveButton($('save'), place);
  shareButton($('share'), place);
  const card = cards().find(known => known.id === place.id);
  if (!card) map?.showPins([{ id: place.id, rank: 1, lat: Number(one.dataset.lat), lng: Number(one.dataset.lng), name, offer: title }]);
  map?.pickPin(place.id, { fly: Boolean(card) });
}

// --- what a reader does ------------------------------------------------------------------------------------------------------------------

themeButton($('theme'), () => map?.restyle());
$('show').hidden = true;
$('kept').hidden = false;
$('kept').onclick = () => { newest++; closeVisit(); showShelf({ close: () => open(found() ? 'list' : 'place') }); open('shelf'); $('shelf').focus({ preventScroll: true }); };
form.onsubmit = event => { event.preventDefault(); showList(); };
form.onchange = event => { if (event.target !== $('q')) showList(); };
$('list').onclick = event => {
  const more = event.target.closest('#more'), card = event.target.closest('.o');
  if ((!more && !card) || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  if (card) showPlace(card.getAttribute('href')); else showList({ fit: false, push: false, path: `/${new URL(more.href).search}` });
};
// Pin and card move together.
for (const name of ['pointerover', 'focusin']) $('list').addEventListener(name, event => { const card = event.target.closest('.o'); if (card) choose(card.dataset.id); });
$('place').addEventListener('click', event => {
  const link = event.target.closest('.offers a');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  showPlace(link.getAttribute('href'));
});
addEventListener('popstate', () => {
  fillForm();
  if (location.pathname === '/') showList({ push: false, path: location.pathname + location.search }); else showPlace(location.pathname + location.search, { push: false });
});

// The form as the address has it.
function fillForm() {
  const said = new URLSearchParams(location.search);
  for (const one of form.elements) {
    if (!one.name || one.name === 'lang' || one.name === 'currency') continue;
    if (one.type === 'checkbox') one.checked = said.get(one.name) === one.value; else one.value = said.get(one.name) ?? '';
  }
}

function choose(id, { scroll = false } = {}) {
  for (const one of $('list').querySelectorAll('.o')) {
    if (one.dataset.id === id) one.setAttribute('aria-current', 'true'); else one.removeAttribute('aria-current');
    if (scroll && one.dataset.id === id) { one.scrollIntoView({ block: 'nearest' }); one.focus({ preventScroll: true }); }
  }
  map?.pickPin(id);
}

function goTo({ lat, lng }, { push = true, said = false } = {}) {
  $('lat').value = lat.toFixed(5);
  $('lng').value = lng.toFixed(5);
  return showList({ push, said });
}

startSearch({
  near: here, typed: () => showList(),
  chosen(one) {
    if (one.kind === 'place') { $('q').value = ''; return goTo(one); }
    if (one.kind === 'store') return showPlace(`/stores/${one.id}?${new URLSearchParams(here())}`);
    if (one.kind === 'category' && [...form.category.options].some(option => option.value === one.code)) { $('q').value = ''; form.category.value = one.code; } else $('q').value = one.text;
    return showList();
  },
});

$('look').onclick = () => { if (looked) goTo(looked); };
const walked = now => { if (location.pathname === '/') { looked = now; $('look').hidden = false; } };

// --- the map, after the list -------------------------------------------------------------------------------------------------------------

function noMap() {
  $('map').dataset.state = 'none';
  document.body.classList.add('no-map');
  $('ask').after($('look'));
}

async function startMap() {
  if (!site.key || !document.createElement('canvas').getContext('webgl2')) return noMap();
  map = await import('./visitor/map.js');
  const { lat, lng } = here();
  map.openMap({
    centre: [lng, lat], onMoved: centre => { looked = { lat: centre.lat, lng: centre.lng }; $('look').hidden = false; },
    onPick: id => { if ($('list').hidden) open('list'); choose(id, { scroll: true }); },
  });
  map.showPins(cards());
  if (!$('place').hidden) dressPlace();
}

async function start() {
  if (!$('place').hidden) dressPlace();
  const { keptAt, keptOther } = document.documentElement.dataset;
  if (keptAt) mark($(found() ? 'list' : 'place'), keptAt);
  // The page is there, and not what is asked in it.
  if (keptOther) {
    fillForm();
    if (location.pathname === '/') await showList({ push: false, path: location.pathname + location.search }); else await showPlace(location.pathname + location.search, { push: false });
  }
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  await startMap().catch(noMap);
  greet(async (me, wanted = false) => {
    if (!me) return;
    map?.showMe(me.lng, me.lat);
    // Whoever opens an address with a place wants that one.
    if (location.pathname === '/' && (wanted || !new URLSearchParams(location.search).has('lat'))) await goTo(me, { push: wanted, said: true });
    follow(here, walked);
  });
  navigator.serviceWorker?.register('/static/offline.js', { scope: '/' }).catch(() => {});
}
start();
