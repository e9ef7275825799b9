// What the parts of the visitor's page share.
import { $ } from '../dom.js';

export const site = JSON.parse($('site').textContent);

// One sentence for the reader; empty takes it away.
export function notice(text, warn = false) {
  $('notice').hidden = !text;
  $('notice').textContent = text;
  $('notice').classList.toggle('warn', warn);
}
