// At which places a profile is tried: where the catalogue is dense and where it is not.
import { json } from '../api.js';

const LONGEST_NAME = 100;
// Down from the whole world to its fullest part, until cells are as large as a block; [zoom, half of the box in degrees].
const STEPS = [[3, null], [8, 4], [14, .12]];
// Of the cells there, from the fullest on, as shares of their number.
const RANKS = [0, .1, .25, .45, .7];

export async function findPlaces() {
  let box = [-180, -85, 180, 85], cells = [];
  for (const [zoom, half] of STEPS) {
    if (half) box = around(cells[0], half);
    ({ items: cells } = await json('/v1/clusters', { zoom, bbox: box.join() }));
    if (!cells.length) return [];
    cells.sort((a, b) => b.count - a.count || (a.cell < b.cell ? -1 : 1));
  }
  const at = [...new Set(RANKS.map(share => Math.floor(share * (cells.length - 1))))];
  return at.map(rank => ({ lat: cells[rank].lat, lng: cells[rank].lng, name: degrees(cells[rank]) }));
}

const around = ({ lat, lng }, half) => [Math.max(-180, lng - half), Math.max(-85, lat - half), Math.min(180, lng + half), Math.min(85, lat + half)];
const degrees = ({ lat, lng }) => `${lat.toFixed(4)}, ${lng.toFixed(4)}`;

// Typed degrees, or the nearest thing of a name; null where nothing is called so.
export async function placeOf(text, near) {
  const typed = /^(-?\d+(?:\.\d+)?)\s*[,; ]\s*(-?\d+(?:\.\d+)?)$/.exec(text);
  if (typed) {
    const [lat, lng] = [Number(typed[1]), Number(typed[2])];
    return Math.abs(lat) <= 90 && Math.abs(lng) <= 180 ? { lat, lng, name: text } : null;
  }
  if (!text || text.length > LONGEST_NAME || !near) return null;
  const { items: [first] } = await json('/v1/places', { q: text, lat: near.lat, lng: near.lng, limit: 1 });
  return first ? { lat: first.lat, lng: first.lng, name: first.text } : null;
}
