// Between the pages and the network (a service worker): the shell and the last answers, for when there is no connection. The network goes first,
// and what is kept says from when it is. What asks the API with a key is never kept.
const SHELL = 'shell-2', ANSWERS = 'answers-2', TILES = 'tiles-2';
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
  const cache = await caches.open(name), kept = await cache.match(request.url);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request.url, answer.clone());
  return answer;
}

async function networkFirst(event, name) {
  const cache = await caches.open(name), { request } = event;
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status < 500) {
      if (answer.ok || answer.status === 204) event.waitUntil(keep(cache, name, request, answer.clone()));
      // The page itself, whatever was asked in it: it is never driven out by answers.
      if (answer.ok && request.mode === 'navigate' && isWhole(request)) event.waitUntil(keep(await caches.open(SHELL), SHELL, { url: new URL(new URL(request.url).pathname, location.origin).href }, answer.clone()));
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
  // Under its address alone: what was sent with the question, a key perhaps, is not kept.
  await cache.delete(request.url);
  await cache.put(request.url, new Response(body, { status: answer.status, headers }));
  const most = MOST[name];
  if (most) for (const old of (await cache.keys()).slice(0, -most)) await cache.delete(old);
}

const isWhole = request => ['/', '/counter'].includes(new URL(request.url).pathname);

// What was kept of the same question; of a page that was not, the shell, whose script looks for the part. A page says it of itself.
async function said(cache, request) {
  const url = new URL(request.url);
  let kept = await cache.match(request.url);
  const own = Boolean(kept);
  if (!kept && request.mode === 'navigate') kept = await (await caches.open(SHELL)).match(new URL(url.pathname === '/counter' ? '/counter' : '/', url).href);
  if (!kept || request.mode !== 'navigate') return kept;
  const text = (await kept.text()).replace('<html ', `<html data-kept-at="${kept.headers.get('X-Kept-At')}" ${own ? '' : 'data-kept-other="yes" '}`);
  return new Response(text, { status: kept.status, headers: kept.headers });
}
