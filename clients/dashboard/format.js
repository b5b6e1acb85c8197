// Numbers as people read them.

const SI = ["", "k", "M", "G", "T", "P"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// Three significant digits, never in exponent form.
function digits(v) {
  if (v >= 99.95 || v === 0) return v.toFixed(0);
  return v >= 9.995 ? v.toFixed(1) : v.toFixed(2);
}

function scaled(v, base, last) {
  let step = 0;
  let value = Math.abs(v);
  while (value >= base * 0.9995 && step < last) {
    value /= base;
    step++;
  }
  return { value: v < 0 ? -value : value, step };
}

// Bytes a second, decimal: { text: "1.25", unit: "MB/s" }
export function rateParts(v) {
  const s = scaled(v, 1000, SI.length - 1);
  return { text: s.step === 0 ? s.value.toFixed(0) : digits(s.value), unit: `${SI[s.step]}B/s` };
}

export function rate(v) {
  const p = rateParts(v);
  return `${p.text} ${p.unit}`;
}

// Bytes of memory, binary.
export function bytesParts(v) {
  const s = scaled(v, 1024, BINARY.length - 1);
  return { text: s.step === 0 ? s.value.toFixed(0) : digits(s.value), unit: BINARY[s.step] };
}

export function bytes(v) {
  const p = bytesParts(v);
  return `${p.text} ${p.unit}`;
}

export function percent(v) {
  return v >= 99.95 ? "100" : v.toFixed(1);
}

export function count(v) {
  return Math.round(v).toLocaleString("en-US").replaceAll(",", "\u202f");
}

export function load(v) {
  return v >= 99.995 ? v.toFixed(0) : v.toFixed(2);
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const days = Math.floor(s / 86400);
  const hours = Math.floor(s / 3600) % 24;
  const minutes = Math.floor(s / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min ${s % 60} s`;
  return `${s} s`;
}

export function clock(ms) {
  const d = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

// A label of an axis: "50 MB/s", not "50.0 MB/s".
export function axis(text) {
  return text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
}

// The smallest round number that is at least v: the top of an axis.
export function niceCeil(v) {
  if (!(v > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(v));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8].find((n) => v <= n * power * 1.0001) ?? 10;
  return step * power;
}
