// QR codes: drawn as SVG, and read with the camera. Source of both: qr (vendor); it is loaded when a camera is asked for.
import { toBase45, fromBase45 } from './base45.js';
import { encodeQR } from './vendor/qr@0.7.0/index.js';

const QUIET = 4, PAUSE_MS = 120, WIDEST = 800;
export const TILL = 'XC1:', VISITOR = 'XCV1:';

// Dark on white whatever the theme, with the quiet zone that readers need. Nothing in it is animated.
export function drawCode(text, label) {
  const rows = encodeQR(text, 'raw', { ecc: 'medium', border: QUIET }), size = rows.length;
  const path = rows.flatMap((row, y) => row.map((dark, x) => dark ? `M${x} ${y}h1v1h-1z` : '')).join('');
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  for (const [name, value] of [['viewBox', `0 0 ${size} ${size}`], ['role', 'img'], ['aria-label', label], ['class', 'qr'], ['shape-rendering', 'crispEdges']]) svg.setAttribute(name, value);
  svg.innerHTML = `<path fill="#fff" d="M0 0h${size}v${size}H0z"/><path fill="#0f161c" d="${path}"/>`;
  return svg;
}

export const tillCode = bytes => TILL + toBase45(bytes);

// A visitor's code: {checkIn, claimHash}; null where it is none.
export function parseScan(text) {
  const data = text.startsWith(VISITOR) ? fromBase45(text.slice(VISITOR.length)) : null;
  if (data?.length !== 48 || VISITOR + toBase45(data) !== text) return null;
  const hex = [...data.slice(0, 16)].map(byte => byte.toString(16).padStart(2, '0')).join('');
  return { checkIn: hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'), claimHash: data.slice(16) };
}

// What a person calls a check-in: four digits that visitor and staff can compare.
export const guestName = checkIn => String(parseInt(checkIn.slice(-8), 16) % 10_000).padStart(4, '0').replace(/^(..)/, '$1-');

// Reads codes into found(text) until it returns true or the signal says so. Throws where there is no camera, or nobody may use it.
export async function readCodes(video, found, signal) {
  const { default: decodeQR } = await import('./vendor/qr@0.7.0/decode.js');
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: { ideal: 1280 } }, audio: false });
  let timer = 0, stopped = false;
  const stop = () => {
    if (stopped) return;
    stopped = true;
    clearTimeout(timer);
    for (const track of stream.getTracks()) track.stop();
    if (video.srcObject === stream) video.srcObject = null;
  };
  if (signal.aborted) return stop();
  signal.addEventListener('abort', stop);
  video.srcObject = stream;
  await video.play().catch(() => {});
  const canvas = document.createElement('canvas'), draw = canvas.getContext('2d', { willReadFrequently: true });
  const look = () => {
    if (stopped) return;
    let done = false;
    if (video.videoWidth) {
      const scale = Math.min(1, WIDEST / video.videoWidth);
      canvas.width = Math.round(video.videoWidth * scale);
      canvas.height = Math.round(video.videoHeight * scale);
      draw.drawImage(video, 0, 0, canvas.width, canvas.height);
      let text = null;
      try { text = decodeQR(draw.getImageData(0, 0, canvas.width, canvas.height)); } catch { /* no code in this picture */ }
      if (text !== null) done = found(text);
    }
    if (done) stop(); else timer = setTimeout(look, PAUSE_MS);
  };
  look();
}
