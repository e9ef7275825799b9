// A map of our own tiles in #map, which says of itself whether it stands still (data-state).
import * as maplibre from './vendor/maplibre-gl@6.17.0/maplibre-gl.mjs';
import { headers } from './api.js';
import { $ } from './dom.js';
import { t } from './words.js';

export const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
export const canDraw = () => Boolean(document.createElement('canvas').getContext('webgl2'));
export const { LngLatBounds } = maplibre;

// title: what a screen reader says of it.
export function openBasemap({ title, ...options }) {
  const map = new maplibre.Map({
    container: 'map', minZoom: 4, maxZoom: 18, fadeDuration: still ? 0 : 200, attributionControl: false, dragRotate: false, pitchWithRotate: false,
    transformRequest: url => url.startsWith(`${location.origin}/v1/`) ? { url, headers: headers() } : { url },
    locale: { 'Map.Title': title, 'NavigationControl.ZoomIn': t('Zoom in'), 'NavigationControl.ZoomOut': t('Zoom out') }, ...options,
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), 'top-right');
  map.addControl(new maplibre.AttributionControl({ compact: false }), 'bottom-right');
  const busy = () => { $('map').dataset.state = 'busy'; };
  map.on('movestart', busy);
  map.on('dataloading', busy);
  map.on('idle', () => { $('map').dataset.state = 'idle'; });
  map.on('error', event => { (window.mapErrors ??= []).push(String(event.error?.message ?? event.error)); });
  return map;
}
