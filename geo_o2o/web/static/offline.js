// Between the pages and the network (a service worker): the shell and the last answers, for when there is no connection. The network goes first,
// and what is kept says from when it is. What asks the API with a key is never kept.
const SHELL = 'shell-1', ANSWERS = 'answers-1', TILES = 'tiles-1';
const MOST = { [ANSWERS]: 30, [TILES]: 300 };
const PATIENCE_MS = 6_000;

addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (![SHELL, ANSWERS, TILES].includes(name)) await caches.delete(name);
  await clients.claim();
})()));

addEventListener('fetch', event => {
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== location.origin) return;
  if (url.pathname.startsWith('/static/vendor/')) event.respondWith(keptFirst(event.request, SHELL));
  else if (url.pathname.startsWith('/static/')) event.respondWith(networkFirst(event, SHELL));
  else if (url.pathname.startsWith('/v1/tiles/basemap/')) event.respondWith(networkFirst(event, TILES));
  else if (url.pathname === '/' || url.pathname === '/counter' || /^\/(stores|offers)\//.test(url.pathname)) event.respondWith(networkFirst(event, ANSWERS));
});

// Of what never changes under its name.
async function keptFirst(request, name) {
  const cache = await caches.open(name), kept = await cache.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request, answer.clone());
  return answer;
}

async function networkFirst(event, name) {
  const cache = await caches.open(name), { request } = event;
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status < 500) {
      if (answer.ok || answer.status === 204) event.waitUntil(keep(cache, name, request, answer.clone()));
      return answer;
    }
    return await said(cache, request) ?? answer;
  } catch (failure) {
    const kept = await said(cache, request);
    if (kept) return kept;
    throw failure;
  }
}

async function keep(cache, name, request, answer) {
  const headers = new Headers(answer.headers);
  headers.set('X-Kept-At', new Date().toISOString());
  const body = answer.status === 204 ? null : await answer.blob();
  // Its tags and packing were for the way here.
  headers.delete('Content-Encoding');
  headers.delete('Content-Length');
  // What is asked again is the newest.
  await cache.delete(request);
  await cache.put(request, new Response(body, { status: answer.status, headers }));
  const most = MOST[name];
  if (most) for (const old of (await cache.keys()).slice(0, -most)) await cache.delete(old);
}

// What was kept of the same question, or for a whole list the newest of any; a page says it of itself.
async function said(cache, request) {
  const url = new URL(request.url);
  let kept = await cache.match(request);
  if (!kept && request.mode === 'navigate' && url.pathname === '/') {
    const other = (await cache.keys()).filter(one => new URL(one.url).pathname === '/' && !new URL(one.url).searchParams.has('part')).at(-1);
    kept = other && await cache.match(other);
  }
  if (!kept || request.mode !== 'navigate') return kept;
  const text = (await kept.text()).replace('<html ', `<html data-kept-at="${kept.headers.get('X-Kept-At')}" `);
  return new Response(text, { status: kept.status, headers: kept.headers });
}
