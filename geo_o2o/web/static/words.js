// The words of this page in its language, which came with it; English where there is none. {names} are filled in.
const words = JSON.parse(document.getElementById('words').textContent);
export const language = document.documentElement.lang;
export const t = (text, values = {}) => (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
