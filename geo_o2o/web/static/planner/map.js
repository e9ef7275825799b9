// The map: hexagons of one layer, outlines of districts, and what the pointer or the keys read.
import { canDraw, openBasemap } from '../basemap.js';
import { hatch, hexColour, makeStyle } from '../mapstyle.js';
import { themeNow } from '../theme.js';
import { t } from '../words.js';
import { mark, outlines, pick, tops } from './districts.js';
import { tip } from './figures.js';
import { show } from './layer.js';
import { $, DEMAND, state, trouble } from './state.js';

export let map = null;

export function drawMap(bounds) {
  if (!canDraw()) {
    trouble(new Error(t('This browser cannot draw the map (WebGL 2 is missing); the districts and the downloads work all the same.')));
    $('map').dataset.state = 'idle';
    return;
  }
  const [west, south, east, north] = bounds;
  state.bounds = bounds;
  map = window.plannerMap = openBasemap({
    title: t('Map of hexagons. Arrow keys move it, plus and minus zoom, Enter reads the hexagon in the middle.'),
    style: style(), bounds: [[west, south], [east, north]], fitBoundsOptions: { padding: room() }, canvasContextAttributes: { preserveDrawingBuffer: true },
  });
  // Before any tile is drawn that needs it, also after a change of theme.
  map.on('style.load', () => { if (!map.hasImage('hatch')) map.addImage('hatch', hatch(themeNow())); dress(); });
  map.on('moveend', () => { if (!(state.layer in DEMAND)) show(); });
  map.on('mousemove', 'cells', event => hover(event.features[0], event.point));
  map.on('mousemove', 'hidden', event => hover(event.features[0], event.point));
  for (const layer of ['cells', 'hidden']) map.on('mouseleave', layer, () => hover(null));
  map.on('click', event => {
    const [cell] = map.queryRenderedFeatures(event.point, { layers: ['cells', 'hidden'] });
    select(cell ?? null, event.point);
    const [district] = map.queryRenderedFeatures(event.point, { layers: ['district-areas'] }).sort((a, b) => a.properties.area_m2 - b.properties.area_m2);
    if (district && !cell) pick(district.properties.id, event.originalEvent.shiftKey);
  });
  map.on('dblclick', event => event.preventDefault());
  map.getCanvas().addEventListener('keydown', event => {
    if (event.key !== 'Enter') return;
    const middle = map.project(map.getCenter());
    select(map.queryRenderedFeatures(middle, { layers: ['cells', 'hidden'] })[0] ?? null, middle);
  });
}

const wide = () => innerWidth > 820;
export const room = () => wide() ? { top: 30, left: 30, right: 60, bottom: 150 } : { top: 40, left: 16, right: 16, bottom: 290 };
const style = () => makeStyle(themeNow(), { origin: location.origin, bounds: state.bounds ?? undefined, planner: { breaks: state.breaks, cells: state.cells, districts: outlines(), tops: tops(), focus: focus() } });

export function dress() {
  for (const [source, data] of [['cells', state.cells], ['districts', outlines()], ['district-tops', tops()], ['focus', focus()]]) map.getSource(source)?.setData(data);
  if (map.getLayer('cells')) map.setPaintProperty('cells', 'fill-color', hexColour(themeNow(), state.breaks));
  mark();
}
export const loaded = () => map?.getSource('cells');

// Another theme is another style, in place.
export function restyle() {
  if (map) map.setStyle(style(), { diff: false });
}

// --- one hexagon -------------------------------------------------------------------------------------------------------------------------

function focus() {
  const one = (feature, picked) => ({ type: 'Feature', properties: { picked }, geometry: (state.cells.features.find(f => f.properties.cell === feature.properties.cell) ?? feature).geometry });
  return { type: 'FeatureCollection', features: [...(state.hover ? [one(state.hover, false)] : []), ...(state.selected ? [one(state.selected, true)] : [])] };
}

function hover(feature, point) {
  const changed = state.hover?.properties.cell !== feature?.properties.cell;
  state.hover = feature;
  map.getCanvas().style.cursor = feature ? 'pointer' : '';
  if (changed) map.getSource('focus')?.setData(focus());
  if (feature) tip(feature.properties, point); else if (state.selected) tip(state.selected.properties, null); else $('tip').hidden = true;
}

function select(feature, point) {
  state.selected = feature;
  map.getSource('focus')?.setData(focus());
  if (feature) tip(feature.properties, point); else $('tip').hidden = true;
}
