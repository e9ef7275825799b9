// The map's style out of the page's tokens: a printed plan with one strong colour. No glyphs and no sprite: text is drawn with the page's fonts.
const THEMES = {
  light: { land: '#f4f2ec', green: '#dfe8d5', campus: '#efe9df', pitch: '#d6e3cb', water: '#bcd7e0', building: '#e4dfd5', outline: '#d6d0c3',
    highway: '#fdf6e6', highwayEdge: '#d9c49a', road: '#ffffff', roadEdge: '#d8d3c6', path: '#cfc7b6', rail: '#c9c4ba', text: '#4a5258', halo: 'rgba(250,249,245,.92)',
    ramp: ['#d3eae4', '#a3d6cf', '#66bcc0', '#2f9bb2', '#19779a', '#1a4f80', '#1a2456'], ink: '#17212b', select: '#c93a17', second: '#c93a17', first: '#0f6e84', faint: '#8a908c', opacity: .88 },
  dark: { land: '#11181e', green: '#15211d', campus: '#161e25', pitch: '#182721', water: '#0b2733', building: '#1a232b', outline: '#222d36',
    highway: '#414a52', highwayEdge: '#11181e', road: '#2c3843', roadEdge: '#11181e', path: '#27313a', rail: '#2b353e', text: '#b9c4cc', halo: 'rgba(13,19,24,.9)',
    ramp: ['#163640', '#17505a', '#1c7173', '#33957f', '#6dba83', '#b4db8c', '#f5f6b8'], ink: '#e9eff3', select: '#ff8a5c', second: '#ff8a5c', first: '#62cbbd', faint: '#6b7a85', opacity: .9 },
};
const CJK = ['PingFang TC', 'Microsoft JhengHei', 'Noto Sans CJK TC', 'sans-serif'];
const MEDIUM = ['Inter Medium', ...CJK];
export const BOLD = ['Inter Bold', ...CJK];
const grow = (...stops) => ['interpolate', ['exponential', 1.5], ['zoom'], ...stops];
const NONE = { type: 'FeatureCollection', features: [] };

export const theme = name => THEMES[name];
export const hexColour = (name, breaks) => ['step', ['coalesce', ['get', 'shown'], 0], 'rgba(0,0,0,0)', ...breaks.flatMap((least, i) => [least, THEMES[name].ramp[i]])];

// planner: its own layers' data and classes, which lie between land and streets; without it the map alone.
export function makeStyle(name, { origin, bounds = [-179.8, -84.9, 179.8, 84.9], planner = null }) {
  const t = THEMES[name], layers = [{ id: 'land', type: 'background', paint: { 'background-color': t.land } }];
  const base = (id, type, layer, paint, more = {}) => layers.push({ id, type, source: 'base', 'source-layer': layer, paint, ...more });
  const kind = (...names) => ['in', ['get', 'kind'], ['literal', names]];
  base('landuse', 'fill', 'landuse', { 'fill-antialias': false, 'fill-color': ['match', ['get', 'kind'], ['park', 'garden', 'grass', 'wood', 'scrub', 'forest', 'meadow', 'cemetery', 'recreation_ground', 'nature_reserve'], t.green, ['university', 'school', 'college', 'hospital'], t.campus, ['pitch', 'playground'], t.pitch, 'rgba(0,0,0,0)'] });
  base('water', 'fill', 'water', { 'fill-color': t.water }, { filter: ['==', ['geometry-type'], 'Polygon'] });
  base('streams', 'line', 'water', { 'line-color': t.water, 'line-width': grow(12, .4, 16, 2.4) }, { filter: ['==', ['geometry-type'], 'LineString'] });
  base('buildings', 'fill', 'buildings', { 'fill-color': t.building, 'fill-outline-color': t.outline, 'fill-opacity': .75 }, { minzoom: 14 });
  if (planner) layers.push(...cellLayers(t, hexColour(name, planner.breaks)));
  const cap = { layout: { 'line-cap': 'round', 'line-join': 'round' } };
  const road = (id, filter, edge, fill, wide, soft, minzoom) => {
    base(`${id}-edge`, 'line', 'roads', { 'line-color': edge, 'line-width': grow(...wide.map((v, i) => i % 2 ? v * 1.25 + .6 : v)), 'line-opacity': soft }, { filter, minzoom, ...cap });
    base(id, 'line', 'roads', { 'line-color': fill, 'line-width': grow(...wide), 'line-opacity': soft }, { filter, minzoom, ...cap });
  };
  base('paths', 'line', 'roads', { 'line-color': t.path, 'line-width': grow(15, .5, 18, 2), 'line-opacity': .4, 'line-dasharray': [2, 1.6] }, { filter: kind('path'), minzoom: 15 });
  base('rails', 'line', 'roads', { 'line-color': t.rail, 'line-width': grow(12, .6, 17, 2.4), 'line-opacity': .6 }, { filter: kind('rail'), minzoom: 13 });
  road('minor', kind('minor_road'), t.roadEdge, t.road, [12, .4, 14, 1.1, 16, 4.4, 18, 14], .6, 13);
  road('major', kind('major_road'), t.roadEdge, t.road, [10, .6, 14, 2.8, 16, 8, 18, 22], .8, 10);
  road('highway', kind('highway'), t.highwayEdge, t.highway, [8, .8, 14, 4, 16, 11, 18, 26], 1, 8);
  if (planner) layers.push(...outlineLayers(t));
  const halo = { 'text-halo-color': t.halo, 'text-halo-width': 1.4 };
  base('road-names', 'symbol', 'roads', { 'text-color': t.text, ...halo }, { minzoom: 13.5, filter: ['all', kind('major_road', 'minor_road', 'highway'), ['has', 'name']], layout: {
    'symbol-placement': 'line', 'text-field': ['get', 'name'], 'text-font': MEDIUM, 'text-size': ['interpolate', ['linear'], ['zoom'], 13, 10, 17, 13], 'text-letter-spacing': .03, 'symbol-spacing': 320, 'text-max-angle': 35, 'symbol-sort-key': ['match', ['get', 'kind'], 'major_road', 0, 1] } });
  if (planner) layers.push(nameLayer(t));
  const [west, south, east, north] = bounds;
  return {
    version: 8, name: 'geo_o2o', layers,
    sources: {
      base: { type: 'vector', tiles: [`${origin}/v1/tiles/basemap/{z}/{x}/{y}.mvt`], minzoom: 8, maxzoom: 15, bounds: [west - .2, south - .1, east + .2, north + .1], attribution: '© <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors' },
      ...(planner ? plannerSources(planner) : {}),
    },
  };
}

// --- the planner's own layers ------------------------------------------------------------------------------------------------------------

const plannerSources = ({ cells, districts, tops, focus }) => ({
  cells: { type: 'geojson', data: cells ?? NONE, promoteId: 'cell' }, districts: { type: 'geojson', data: districts ?? NONE, promoteId: 'id' },
  'district-tops': { type: 'geojson', data: tops ?? NONE }, focus: { type: 'geojson', data: focus ?? NONE },
});

const cellLayers = (t, colour) => [
  { id: 'hidden', type: 'fill', source: 'cells', filter: ['has', 'hidden'], paint: { 'fill-pattern': 'hatch', 'fill-opacity': .5 } },
  { id: 'cells', type: 'fill', source: 'cells', filter: ['!', ['has', 'hidden']], paint: { 'fill-color': colour, 'fill-opacity': t.opacity, 'fill-antialias': false } },
  { id: 'gaps', type: 'line', source: 'cells', paint: { 'line-color': t.land, 'line-width': grow(12, .5, 15, 1.4, 17, 2.6) } },
];

const outlineLayers = t => [
  { id: 'districts', type: 'line', source: 'districts', layout: { 'line-join': 'round' }, paint: {
    'line-color': ['case', ['==', ['feature-state', 'pick'], 0], t.first, ['==', ['feature-state', 'pick'], 1], t.second, t.ink],
    'line-width': ['case', ['!=', ['coalesce', ['feature-state', 'pick'], -1], -1], 3.5, 1.4], 'line-opacity': ['case', ['!=', ['coalesce', ['feature-state', 'pick'], -1], -1], 1, .65] } },
  { id: 'district-areas', type: 'fill', source: 'districts', paint: { 'fill-opacity': 0 } },
  { id: 'focus-casing', type: 'line', source: 'focus', filter: ['get', 'picked'], paint: { 'line-color': t.land, 'line-width': 7 } },
  { id: 'focus', type: 'line', source: 'focus', layout: { 'line-join': 'round' }, paint: { 'line-color': ['case', ['get', 'picked'], t.select, t.ink], 'line-width': ['case', ['get', 'picked'], 3, 2] } },
];

const nameLayer = t => ({ id: 'district-names', type: 'symbol', source: 'district-tops', layout: { 'text-field': ['get', 'name'], 'text-font': BOLD, 'text-size': ['interpolate', ['linear'], ['zoom'], 12, 10.5, 16, 15], 'text-anchor': 'bottom', 'text-offset': [0, -.2], 'text-max-width': 12, 'symbol-sort-key': ['-', ['get', 'area_m2']] },
    paint: { 'text-color': t.ink, 'text-halo-color': t.halo, 'text-halo-width': 2 } });

// Diagonal strokes for what is not shown, drawn here because there is no sprite.
export function hatch(name) {
  const size = 16, pixels = new Uint8ClampedArray(4 * size * size), [r, g, b] = THEMES[name].faint.match(/\w\w/g).map(part => parseInt(part, 16));
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) if ((x + y) % 8 < 1) pixels.set([r, g, b, 200], 4 * (y * size + x));
  return { width: size, height: size, data: new Uint8Array(pixels.buffer) };
}
