// What this browser keeps for itself: keys that cannot be read out, receipts, saved places, and what waits to be sent. Source of the wrapper: idb.
import { openDB } from './vendor/idb@8.0.4/index.js';

const opened = openDB('geo_o2o', 1, {
  upgrade(db) {
    db.createObjectStore('keys');
    db.createObjectStore('saved', { keyPath: 'id' });
    db.createObjectStore('visits', { keyPath: 'id' });
    db.createObjectStore('queue', { keyPath: 'id' });
  },
});
// Who asks hears of it; nobody else shall.
opened.catch(() => {});

export const get = async (store, key) => (await opened).get(store, key);
export const all = async store => (await opened).getAll(store);
export const remove = async (store, key) => (await opened).delete(store, key);
// Written to the disk before it counts as written: what is signed must survive a power cut.
export async function put(store, value, key) {
  const done = (await opened).transaction(store, 'readwrite', { durability: 'strict' });
  await Promise.all([done.store.put(value, key), done.done]);
  return value;
}
