// The map beside the list: the same places as numbered pins, which move together with the cards. It comes after the list, and the page does without.
import { LngLatBounds, openBasemap, still } from '../basemap.js';
import { makeStyle, theme, BOLD } from '../mapstyle.js';
import { themeNow } from '../theme.js';
import { t } from '../words.js';

const NONE = { type: 'FeatureCollection', features: [] }, MOST_PINS = 100, WIDE = 820;
let map = null, pins = NONE, me = NONE, picked = '';

const point = (lng, lat, properties = {}) => ({ type: 'Feature', properties, geometry: { type: 'Point', coordinates: [lng, lat] } });

export function openMap({ centre, onPick, onMoved }) {
  map = window.visitorMap = openBasemap({ title: t('Map of the places in the list. Arrow keys move it, plus and minus zoom.'), style: style(), center: centre, zoom: 15.2, maxZoom: 18.5 });
  map.on('style.load', () => { drawPins(); refresh(); });
  // Only a hand that moves the map asks for another list.
  map.on('moveend', event => { if (event.originalEvent) onMoved(map.getCenter()); });
  for (const layer of ['pins', 'picked']) {
    map.on('click', layer, event => onPick(event.features[0].properties.id));
    map.on('mouseenter', layer, () => { map.getCanvas().style.cursor = 'pointer'; });
    map.on('mouseleave', layer, () => { map.getCanvas().style.cursor = ''; });
  }
}

// cards: {id, rank, lat, lng, name, offer}.
export function showPins(cards, { fit = true } = {}) {
  pins = { type: 'FeatureCollection', features: cards.slice(0, MOST_PINS).map(one => point(one.lng, one.lat, { ...one, label: one.offer ? `${one.name}\n${one.offer}` : one.name })) };
  if (!map) return;
  refresh();
  if (!fit || !cards.length) return;
  const bounds = new LngLatBounds();
  for (const one of cards.slice(0, 12)) bounds.extend([one.lng, one.lat]);
  for (const one of me.features) if (near(one.geometry.coordinates, bounds)) bounds.extend(one.geometry.coordinates);
  const room = innerWidth > WIDE ? 90 : 40;
  map.fitBounds(bounds, { padding: room, maxZoom: 16.6, animate: false });
}
// A reader far away is not drawn into the picture.
const near = ([lng, lat], bounds) => { const middle = bounds.getCenter(); return Math.hypot(lng - middle.lng, lat - middle.lat) < .1; };

export function showMe(lng, lat) {
  me = { type: 'FeatureCollection', features: [point(lng, lat)] };
  map?.getSource('me')?.setData(me);
}

export function pickPin(id, { fly = false } = {}) {
  picked = id;
  if (!map?.getLayer('picked')) return;
  map.setFilter('picked', ['==', ['get', 'id'], id]);
  const one = pins.features.find(feature => feature.properties.id === id);
  if (one && fly) map.easeTo({ center: one.geometry.coordinates, duration: still ? 0 : 500 });
}

export const restyle = () => map?.setStyle(style(), { diff: false });

function refresh() {
  map.getSource('places')?.setData(pins);
  map.getSource('me')?.setData(me);
  pickPin(picked);
}

function style() {
  const name = themeNow(), look = theme(name), made = makeStyle(name, { origin: location.origin });
  made.sources.places = { type: 'geojson', data: pins, promoteId: 'id' };
  made.sources.me = { type: 'geojson', data: me };
  made.layers.push(
    { id: 'me-around', type: 'circle', source: 'me', paint: { 'circle-radius': 24, 'circle-color': '#2f6fed', 'circle-opacity': .16 } },
    { id: 'me', type: 'circle', source: 'me', paint: { 'circle-radius': 7, 'circle-color': '#2f6fed', 'circle-stroke-color': '#fff', 'circle-stroke-width': 3 } },
    // Pin and name are one layer, so that no name covers a pin.
    { id: 'pins', type: 'symbol', source: 'places', layout: { 'icon-image': ['concat', 'pin-', ['get', 'rank']], 'icon-allow-overlap': true, 'text-optional': true, 'text-field': ['get', 'label'],
      'text-font': BOLD, 'text-size': 12, 'text-variable-anchor': ['left', 'right', 'top', 'bottom'], 'text-radial-offset': 1.4, 'text-justify': 'auto', 'text-max-width': 12, 'symbol-sort-key': ['get', 'rank'], 'text-padding': 3 },
      paint: { 'text-color': look.ink, 'text-halo-color': look.halo, 'text-halo-width': 1.8 } },
    { id: 'picked', type: 'symbol', source: 'places', filter: ['==', ['get', 'id'], picked], layout: { 'icon-image': ['concat', 'on-', ['get', 'rank']], 'icon-allow-overlap': true, 'icon-ignore-placement': true } },
  );
  return made;
}

// The number is drawn into the pin: there is no sprite.
function drawPins() {
  const look = theme(themeNow()), ring = themeNow() === 'dark' ? '#0f161c' : '#ffffff';
  for (let rank = 1; rank <= MOST_PINS; rank++) {
    if (!map.hasImage(`pin-${rank}`)) map.addImage(`pin-${rank}`, pin(12.5, look.first, ring, rank), { pixelRatio: 2 });
    if (!map.hasImage(`on-${rank}`)) map.addImage(`on-${rank}`, pin(17, look.select, ring, rank), { pixelRatio: 2 });
  }
}

function pin(radius, fill, ring, rank) {
  const scale = 2, width = (radius + 3) * 2 * scale, draw = Object.assign(document.createElement('canvas'), { width, height: width }).getContext('2d');
  draw.scale(scale, scale);
  draw.beginPath();
  draw.arc(radius + 3, radius + 3, radius, 0, 7);
  draw.fillStyle = fill;
  draw.fill();
  draw.lineWidth = 2.2;
  draw.strokeStyle = draw.fillStyle = ring;
  draw.stroke();
  draw.font = `700 ${rank > 99 ? radius * .7 : radius}px Inter, sans-serif`;
  draw.textAlign = 'center';
  draw.textBaseline = 'middle';
  draw.fillText(rank, radius + 3, radius + 3.6);
  return draw.getImageData(0, 0, width, width);
}
