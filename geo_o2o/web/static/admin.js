// The operator's page: how it goes, what was brought in, who may do what, and how places are ranked. A client of the public API.
import { forgetKey, json, keepKey, takeKey } from './api.js';
import { drawHealth } from './admin/health.js';
import { drawImports } from './admin/imports.js';
import { drawKeys } from './admin/keys.js';
import { drawMerchants } from './admin/merchants.js';
import { drawRanking } from './admin/ranking.js';
import { $, trouble } from './admin/page.js';
import { themeButton } from './theme.js';
import { t } from './words.js';

// Each section, and after how long it is drawn anew while somebody looks at it.
const ROOMS = { health: [drawHealth, 5_000], imports: [drawImports, 2_000], merchants: [drawMerchants, 0], keys: [drawKeys, 0], ranking: [drawRanking, 0] };

let timer = 0, opened = false;
async function open() {
  const name = Object.hasOwn(ROOMS, location.hash.slice(1)) ? location.hash.slice(1) : 'health';
  clearTimeout(timer);
  for (const one of Object.keys(ROOMS)) $(one).hidden = one !== name;
  for (const link of $('rooms').children) if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  $('rooms').querySelector('[aria-current]').scrollIntoView({ block: 'nearest', inline: 'nearest' });
  const [draw, every] = ROOMS[name];
  try {
    if (!document.hidden) await draw();
    trouble(null);
  } catch (failure) {
    if (failure.status === 401) return signOut();
    trouble(failure);
  }
  if (every && !$(name).hidden) timer = setTimeout(open, every);
}

async function start() {
  $('signin').hidden = true;
  if (!takeKey()) return signIn();
  try {
    await json('/v1/status');
  } catch (failure) {
    if (failure.status !== 401 && failure.status !== 403) return signIn(failure instanceof TypeError ? t('The service does not answer.') : failure.message);
    forgetKey();
    return signIn(t('This key is not known here, or is no operator’s.'));
  }
  $('rooms').hidden = $('signout').hidden = false;
  opened = true;
  return open();
}

function signIn(why = '') {
  $('signin').hidden = false;
  $('signin-why').textContent = why;
  $('key').focus();
}
$('signin').onsubmit = event => { event.preventDefault(); keepKey($('key').value.trim()); $('key').value = ''; start(); };

function signOut() {
  forgetKey();
  location.hash = '';
  location.reload();
}
$('signout').onclick = signOut;
themeButton($('theme'));
addEventListener('hashchange', () => {
  // An address with another key, opened in this very tab.
  if (new URLSearchParams(location.hash.slice(1)).has('key')) return void start();
  if (!opened) return;
  open();
  $('main').focus({ preventScroll: true });
  scrollTo(0, 0);
});
document.addEventListener('visibilitychange', () => { if (opened && !document.hidden) open(); });
start();
