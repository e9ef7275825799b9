// Bytes as letters that a QR code holds most closely. Source: RFC 9285.
const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:';

export function toBase45(data) {
  let text = '';
  for (let at = 0; at < data.length; at += 2) {
    let rest = at + 1 < data.length ? 256 * data[at] + data[at + 1] : data[at];
    for (let letters = at + 1 < data.length ? 3 : 2; letters; letters--) { text += LETTERS[rest % 45]; rest = Math.floor(rest / 45); }
  }
  return text;
}

// Null where it is none.
export function fromBase45(text) {
  const digits = [...text].map(letter => LETTERS.indexOf(letter)), data = [];
  if (digits.includes(-1) || text.length % 3 === 1) return null;
  for (let at = 0; at < digits.length; at += 3) {
    const [low, middle, high] = digits.slice(at, at + 3), number = low + 45 * middle + 2025 * (high ?? 0);
    if (number > (high === undefined ? 255 : 65535)) return null;
    if (high !== undefined) data.push(number >> 8);
    data.push(number & 255);
  }
  return new Uint8Array(data);
}
