// The public API, asked with a key: a reader's own, which comes in the part of the address that no server sees and stays in this tab, or the page's.
const SLOT = 'geo_o2o.key';

export function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get('key');
  if (given) {
    sessionStorage.setItem(SLOT, given);
    history.replaceState(null, '', location.pathname + location.search);
  }
  return sessionStorage.getItem(SLOT);
}
export const keepKey = key => sessionStorage.setItem(SLOT, key);
export const forgetKey = () => sessionStorage.removeItem(SLOT);
// A key that came with the page itself.
let own = null;
export const useKey = key => { own = key; };
export const headers = () => ({ Authorization: `Bearer ${own ?? sessionStorage.getItem(SLOT)}` });

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || `the service answered ${status}`);
    this.status = status;
    this.code = body?.code;
  }
}

export async function ask(path, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined && value !== null));
  const response = await fetch(`${path}${query.size ? `?${query}` : ''}`, { headers: headers() });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
  return response;
}
// A writing request; null where there is no body in the answer.
export async function send(method, path, body = {}) {
  const response = await fetch(path, { method, headers: { ...headers(), 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  const said = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, said);
  return said;
}
export const json = async (path, params) => (await ask(path, params)).json();
