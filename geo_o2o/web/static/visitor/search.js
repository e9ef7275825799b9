// Search as one types: what may be meant (places of a map, categories, brands, stores), as a list under the box (ARIA combobox).
import { $, element } from '../dom.js';
import { json } from '../api.js';
import { t } from '../words.js';

const PAUSE_MS = 150;

// near: where to look, {lat, lng}. chosen(suggestion), typed(): what is done then.
export function startSearch({ near, chosen, typed }) {
  const box = $('q'), list = $('suggestions');
  for (const [name, value] of [['role', 'combobox'], ['aria-expanded', 'false'], ['aria-controls', 'suggestions'], ['aria-autocomplete', 'list']]) box.setAttribute(name, value);
  let timer = 0, newest = 0, at = -1, found = [];

  const close = () => { list.hidden = true; at = -1; newest++; clearTimeout(timer); box.setAttribute('aria-expanded', 'false'); box.removeAttribute('aria-activedescendant'); };
  const mark = to => {
    at = to;
    [...list.children].forEach((one, number) => one.setAttribute('aria-selected', String(number === at)));
    if (at < 0) box.removeAttribute('aria-activedescendant'); else { box.setAttribute('aria-activedescendant', `s${at}`); list.children[at].scrollIntoView({ block: 'nearest' }); }
  };
  const take = one => { close(); chosen(one); };

  async function suggest() {
    const own = ++newest, q = box.value.trim();
    if (!q) return close();
    const where = near();
    const asked = await Promise.allSettled([json('/v1/places', { q, ...where, limit: 4 }), json('/v1/suggest', { q, ...where, limit: 6 })]);
    if (own !== newest || document.activeElement !== box) return;
    found = asked.flatMap(one => one.status === 'fulfilled' ? one.value.items : []);
    const kinds = { place: t('go there'), category: t('category'), brand: t('brand'), store: t('store') };
    list.replaceChildren(...found.map((one, number) => element('li', { id: `s${number}`, role: 'option', 'aria-selected': 'false' }, element('bdi', {}, one.text), ' ', element('small', {}, kinds[one.kind]))));
    list.hidden = !found.length;
    box.setAttribute('aria-expanded', String(!list.hidden));
    at = -1;
  }

  box.oninput = () => { clearTimeout(timer); timer = setTimeout(suggest, PAUSE_MS); };
  box.onkeydown = event => {
    if (event.key === 'Escape') return close();
    if (event.key === 'Enter') {
      event.preventDefault();
      const one = at >= 0 && !list.hidden ? found[at] : null;
      close();
      if (one) chosen(one); else typed();
    } else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && !list.hidden) {
      event.preventDefault();
      mark((at + (event.key === 'ArrowDown' ? 1 : -1) + found.length) % found.length);
    }
  };
  // Before the box loses the focus, and so without it.
  list.onpointerdown = event => event.preventDefault();
  list.onclick = event => { const one = event.target.closest('li'); if (one) take(found[[...list.children].indexOf(one)]); };
  box.onblur = close;
  // The cross in the box.
  box.addEventListener('search', () => { if (!box.value) { close(); typed(); } });
}
