// Light or dark: as the reader chose before, or as the system has it.
const root = document.documentElement.dataset;
root.theme = localStorage.getItem('theme') || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');

export const themeNow = () => root.theme;

// changed: what else is to be drawn anew.
export function themeButton(button, changed = () => {}) {
  button.onclick = () => {
    root.theme = root.theme === 'dark' ? 'light' : 'dark';
    localStorage.setItem('theme', root.theme);
    changed();
  };
}
