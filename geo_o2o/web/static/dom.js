// What every page does with its elements. Text goes in as text.
export const $ = id => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== false && value !== null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function save(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const SURE_MS = 6_000;
// What cannot be undone is asked twice, on the button itself; it answers no more until it is done.
export function askTwice(button, again, act) {
  const text = button.textContent;
  let sure = 0;
  const reset = () => { clearTimeout(sure); sure = 0; button.disabled = false; button.textContent = text; };
  button.onclick = () => {
    if (sure) {
      clearTimeout(sure);
      button.disabled = true;
      return void act().finally(reset);
    }
    button.textContent = again;
    sure = setTimeout(reset, SURE_MS);
  };
  return button;
}
