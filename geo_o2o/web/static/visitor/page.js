// What the parts of the visitor's page share.
export const $ = id => document.getElementById(id);
export const site = JSON.parse($('site').textContent);
export const still = matchMedia('(prefers-reduced-motion: reduce)').matches;

// One sentence for the reader; empty takes it away.
export function notice(text, warn = false) {
  $('notice').hidden = !text;
  $('notice').textContent = text;
  $('notice').classList.toggle('warn', warn);
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== false && value !== null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function download(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
