// What the page shows at the moment, and what its parts share.
import { $ } from '../dom.js';
import { t } from '../words.js';

export { $ };
export const DEMAND = { visits: 'week', day_parts: 'month', returns: 'month', origins: 'month' };
export const PARTS = { day_parts: ['morning', 'midday', 'afternoon', 'evening'] };
export const TITLES = { visits: t('People a week, per cell'), day_parts: t('People a month in this part of the day, per cell'), returns: t('Share of people who came back'), origins: t('People a month from elsewhere, per cell'),
  stores: t('Stores per cell'), offers: t('Offers per cell'), rating: t('Mean rating'), open: t('Share of stores open now') };
export const PART_NAMES = { morning: t('morning'), midday: t('midday'), afternoon: t('afternoon'), evening: t('evening') };
export const FIXED = { rating: [1, 3, 3.4, 3.7, 4, 4.3, 4.6], open: [.001, .15, .3, .45, .6, .75, .9], returns: [.001, .1, .2, .3, .4, .5, .6] };
export const NONE = { type: 'FeatureCollection', features: [] };
export const state = { layer: 'visits', part: 0, period: -1, periods: [], city: null, releases: [],
  districts: [], shown: [], picked: [], profiles: new Map(), cells: NONE, breaks: [1, 2, 3, 4, 5, 6, 7], answers: new Map(), all: false, hover: null, selected: null, about: null };

export function trouble(problem) {
  $('trouble').hidden = !problem;
  $('trouble').textContent = problem ? problem.message : '';
}
