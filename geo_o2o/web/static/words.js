// The words of this page in its language, which came with it; English where there is none. {names} are filled in.
const words = JSON.parse(document.getElementById('words').textContent);
export const language = document.documentElement.lang;
// How numbers and dates are written: as the reader's own country writes this language, where the browser says which it is.
const USUAL = { en: 'en-GB', fi: 'fi-FI', 'zh-Hans': 'zh-Hans-CN', 'zh-Hant': 'zh-Hant-TW' };
const script = tag => { const { language: name, script: letters } = new Intl.Locale(tag).maximize(); return name + letters; };
export const locale = navigator.languages.find(tag => new Intl.Locale(tag).region && script(tag) === script(language)) ?? USUAL[language];
// A sentence that was made elsewhere, in this language where its words are known: [text, language].
export function spoken(text) {
  for (const known of Object.keys(words)) {
    const names = [...known.matchAll(/\{(\w+)\}/g)].map(match => match[1]);
    const found = known === text ? [] : names.length ? new RegExp(`^${known.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '(.+)')}$`, 's').exec(text) : null;
    if (found) return [t(known, Object.fromEntries(names.map((name, at) => [name, found[at + 1]]))), language];
  }
  return [text, 'en'];
}
export const t = (text, values = {}) => (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
