// Charts on a canvas, by hand: lines and areas over time, and the strip of cores. They draw what they are given and keep
// no data. Sharp on any pixel density; colours come from the style sheet, so that light and dark need no code.

import { axis, clock, niceCeil } from "./format.js";

const LABEL = 16; // room below for the time axis
const STEPS = 32; // shades of the strip

// A canvas as large as its box, in device pixels; draws in CSS pixels.
class Surface {
  constructor(canvas, onHover) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.width = this.height = 0;
    this.area = { left: 0, right: 0 };
    new ResizeObserver(() => this.measure()).observe(canvas.parentElement);
    this.measure();
    const move = (e) => onHover(this.share(e));
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerdown", move);
    canvas.addEventListener("pointerleave", () => onHover(null));
    canvas.addEventListener("pointercancel", () => onHover(null));
  }

  measure() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    this.width = Math.max(1, Math.round(box.width));
    this.height = Math.max(1, Math.round(box.height));
  }

  // Where a pointer is, as a share of the time shown: 0 the oldest, 1 now.
  share(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - this.area.left;
    return Math.min(1, Math.max(0, x / Math.max(1, this.area.right - this.area.left)));
  }

  begin() {
    const ratio = window.devicePixelRatio || 1;
    const w = Math.round(this.width * ratio);
    const h = Math.round(this.height * ratio);
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    return this.context;
  }
}

// The colours that canvases need, read once for each theme.
export function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return {
    text: get("--text-soft"),
    grid: get("--grid"),
    axis: get("--axis"),
    cross: get("--cross"),
    surface: get("--card"),
    idle: get("--idle"),
    font: getComputedStyle(document.body).fontFamily,
    series: {
      blue: get("--blue"), teal: get("--teal"), amber: get("--amber"), violet: get("--violet"), rose: get("--rose"),
    },
  };
}

function rgb(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

function withAlpha(hex, alpha) {
  const [r, g, b] = rgb(hex);
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

function mix(a, b, share) {
  return a.map((v, i) => Math.round(v + (b[i] - v) * share));
}

// lines: [{ column, color, fill, down }]; `down` draws below the middle line. view: { from, to, hover, theme }.
export class TimeChart {
  constructor(canvas, { lines, floor = 1, ceiling = null, format, onHover }) {
    this.surface = new Surface(canvas, onHover);
    this.lines = lines;
    this.floor = floor; // the axis never ends below
    this.ceiling = ceiling; // fixed end of the axis, or null: from the data
    this.format = format;
    this.mirrored = lines.some((l) => l.down);
    this.top = floor;
  }

  draw(ring, view) {
    const s = this.surface;
    const c = s.begin();
    const box = { left: 0, right: s.width, top: 6, bottom: s.height - LABEL };
    s.area = box;
    const bucketMs = Math.max(ring?.interval ?? 250, (view.to - view.from) / (s.width / 2.5));
    const drawn = ring ? this.lines.map((l) => ({ ...l, runs: ring.runs(l.column, view.from, bucketMs) })) : [];
    this.#scale(drawn, view.from);
    const middle = this.mirrored ? (box.top + box.bottom) / 2 : box.bottom;
    const unit = (middle - box.top) / this.top;
    const x = (t) => box.left + ((t - view.from) / (view.to - view.from)) * (box.right - box.left);

    this.#grid(c, box, middle, view);
    c.save();
    c.beginPath();
    c.rect(box.left, 0, box.right - box.left, box.bottom + 1);
    c.clip();
    for (const line of drawn) this.#line(c, line, x, (v) => middle - (line.down ? -v : v) * unit, middle, view.theme);
    c.restore();
    this.#labels(c, box, middle, view);
    if (view.hover !== null) this.#cross(c, ring, box, x, unit, middle, view);
  }

  #scale(drawn, from) {
    if (this.ceiling) {
      this.top = this.ceiling();
      return;
    }
    let most = this.floor;
    for (const l of drawn) {
      for (const run of l.runs) for (const b of run) if (b.time >= from) most = Math.max(most, b.high);
    }
    // The axis grows at once and shrinks late, so that it does not jump about.
    const want = niceCeil(most * 1.05);
    this.top = want > this.top ? want : Math.min(this.top, niceCeil(most * 1.3));
  }

  #grid(c, box, middle, view) {
    c.lineWidth = 1;
    c.strokeStyle = view.theme.grid;
    c.beginPath();
    const rows = this.mirrored ? [1, 0.5, -0.5, -1] : [1, 0.75, 0.5, 0.25];
    for (const share of rows) {
      const y = Math.round(middle - share * (middle - box.top)) + 0.5;
      c.moveTo(box.left, y);
      c.lineTo(box.right, y);
    }
    c.stroke();
    c.strokeStyle = view.theme.axis;
    c.beginPath();
    c.moveTo(box.left, Math.round(middle) + 0.5);
    c.lineTo(box.right, Math.round(middle) + 0.5);
    c.stroke();
  }

  #labels(c, box, middle, view) {
    c.font = `11px ${view.theme.font}`;
    c.textBaseline = "bottom";
    const rows = this.mirrored ? [1, -1] : [1, 0.5];
    for (const share of rows) {
      const y = middle - share * (middle - box.top);
      // A halo keeps the label readable on top of a line.
      this.#text(c, axis(this.format(this.top * Math.abs(share))), box.left + 2, share < 0 ? y - 2 : y + 14, "left", view);
    }
    timeAxis(c, box, this.surface.height, view);
  }

  #text(c, text, x, y, align, view) {
    c.textAlign = align;
    c.lineWidth = 3;
    c.lineJoin = "round";
    c.strokeStyle = view.theme.surface;
    c.strokeText(text, x, y);
    c.fillStyle = view.theme.text;
    c.fillText(text, x, y);
  }

  #line(c, line, x, y, middle, theme) {
    const color = theme.series[line.color];
    c.lineJoin = "round";
    c.lineCap = "round";
    for (const run of line.runs) {
      if (line.fill) this.#fill(c, run, x, y, middle, color, line);
      c.strokeStyle = color;
      c.lineWidth = line.thin ? 1.4 : 1.8;
      c.beginPath();
      for (const b of run) c.lineTo(x(b.time), y(b.mean));
      if (run.length === 1) c.lineTo(x(run[0].time) + 0.1, y(run[0].mean));
      c.stroke();
    }
  }

  #fill(c, run, x, y, middle, color, line) {
    const gradient = c.createLinearGradient(0, line.down ? this.surface.height - LABEL : 0, 0, middle);
    gradient.addColorStop(0, withAlpha(color, 0.42));
    gradient.addColorStop(1, withAlpha(color, 0.06));
    c.fillStyle = gradient;
    c.beginPath();
    c.moveTo(x(run[0].time), middle);
    for (const b of run) c.lineTo(x(b.time), y(b.mean));
    c.lineTo(x(run[run.length - 1].time), middle);
    c.fill();
    // between the lowest and the highest of each bucket: short peaks stay visible
    c.fillStyle = withAlpha(color, 0.16);
    c.beginPath();
    for (const b of run) c.lineTo(x(b.time), y(b.high));
    for (let i = run.length - 1; i >= 0; i--) c.lineTo(x(run[i].time), y(run[i].low));
    c.fill();
  }

  #cross(c, ring, box, x, unit, middle, view) {
    const i = ring ? ring.nearest(view.hover, 3000) : -1;
    const at = x(i >= 0 ? ring.time(i) : view.hover);
    c.strokeStyle = view.theme.cross;
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(Math.round(at) + 0.5, box.top);
    c.lineTo(Math.round(at) + 0.5, box.bottom);
    c.stroke();
    timeChip(c, at, box, this.surface.height, i >= 0 ? ring.time(i) : view.hover, view);
    if (i < 0) return;
    for (const l of this.lines) {
      const v = ring.value(i, l.column);
      c.fillStyle = view.theme.series[l.color];
      c.strokeStyle = view.theme.surface;
      c.lineWidth = 2;
      c.beginPath();
      c.arc(at, middle - (l.down ? -v : v) * unit, 4, 0, 2 * Math.PI);
      c.fill();
      c.stroke();
    }
  }
}

// "5 min … now" below a chart; the step is what fits.
function timeAxis(c, box, bottom, view) {
  const span = view.to - view.from;
  const width = box.right - box.left;
  const steps = span > 120_000 ? [60_000, 120_000] : [5000, 10_000, 15_000, 30_000, 60_000];
  const step = steps.find((v) => (v / span) * width >= 58) ?? span;
  c.font = `11px ${view.theme.font}`;
  c.textBaseline = "bottom";
  c.fillStyle = view.theme.text;
  c.strokeStyle = view.theme.axis;
  c.lineWidth = 1;
  for (let ago = 0; ago <= span + 1; ago += step) {
    const x = box.right - (ago / span) * width;
    const isFirst = x - box.left < 20;
    c.textAlign = ago === 0 ? "right" : isFirst ? "left" : "center";
    const isTight = isFirst && ago - step > 0 && (step / span) * width < 76;
    if (!isTight) c.fillText(agoText(ago), x, bottom);
    if (ago > 0 && !isFirst) {
      c.beginPath();
      c.moveTo(Math.round(x) + 0.5, box.bottom);
      c.lineTo(Math.round(x) + 0.5, box.bottom + 3);
      c.stroke();
    }
  }
}

// The time under the pointer, over the axis.
function timeChip(c, x, box, bottom, time, view) {
  const text = clock(time);
  c.font = `600 11px ${view.theme.font}`;
  const width = c.measureText(text).width + 12;
  const left = Math.min(Math.max(x - width / 2, box.left), box.right - width);
  c.fillStyle = view.theme.cross;
  c.beginPath();
  c.roundRect(left, bottom - 15, width, 15, 4);
  c.fill();
  c.fillStyle = view.theme.surface;
  c.textAlign = "left";
  c.textBaseline = "bottom";
  c.fillText(text, left + 6, bottom - 1);
}

function agoText(ms) {
  if (ms === 0) return "now";
  return ms % 60_000 === 0 ? `−${ms / 60_000} min` : `−${ms / 1000} s`;
}

// A row for each core, a column for each moment, darker where it is busy.
export class CoreStrip {
  constructor(canvas, { firstColumn, onHover }) {
    this.surface = new Surface(canvas, onHover);
    this.firstColumn = firstColumn;
    this.image = document.createElement("canvas");
    this.shades = null;
  }

  // Height that the rows need, for the box around.
  static height(cores) {
    const row = cores <= 4 ? 20 : cores <= 8 ? 14 : cores <= 16 ? 10 : cores <= 32 ? 6 : 4;
    return Math.min(360, cores * row) + LABEL + 4;
  }

  #paint(theme) {
    const [idle, busy, hot] = [theme.idle, theme.series.blue, theme.series.rose].map(rgb);
    this.shades = Array.from({ length: STEPS + 1 }, (_, i) => {
      const share = i / STEPS;
      return share < 0.7 ? mix(idle, busy, share / 0.7) : mix(busy, hot, ((share - 0.7) / 0.3) * 0.85);
    });
    this.paintedFor = theme;
  }

  draw(ring, view) {
    const s = this.surface;
    const c = s.begin();
    const cores = ring ? ring.columns - this.firstColumn : 0;
    if (cores <= 0) return;
    if (this.paintedFor !== view.theme) this.#paint(view.theme);
    const labelled = cores <= 16;
    const box = { left: labelled ? 24 : 0, right: s.width, top: 0, bottom: s.height - LABEL - 2 };
    s.area = box;
    const columns = this.#fillImage(ring, view, cores, box);
    const height = (box.bottom - box.top) / cores;
    const gap = height > 8 ? 2 : height > 4 ? 1 : 0;
    c.imageSmoothingEnabled = false;
    c.font = `11px ${view.theme.font}`;
    c.textBaseline = "middle";
    c.textAlign = "left";
    const width = box.right - box.left;
    const shift = columns.offset * width;
    c.save();
    c.beginPath();
    c.rect(box.left, box.top, width, box.bottom - box.top);
    c.clip();
    for (let core = 0; core < cores; core++) {
      c.drawImage(this.image, 0, core, columns.n, 1, box.left - shift, box.top + core * height,
        columns.n * columns.width, height - gap);
    }
    c.restore();
    c.fillStyle = view.theme.text;
    for (let core = 0; labelled && core < cores; core++) {
      c.fillText(String(core), box.left - 20, box.top + (core + 0.5) * height - gap / 2);
    }
    timeAxis(c, box, s.height, view);
    if (view.hover !== null) this.#cross(c, box, view);
  }

  // One pixel for each core and bucket; empty where nothing is known.
  #fillImage(ring, view, cores, box) {
    const span = view.to - view.from;
    const bucketMs = Math.max(ring.interval, span / ((box.right - box.left) / 4));
    const first = Math.floor(view.from / bucketMs);
    const n = Math.ceil(view.to / bucketMs) - first + 1;
    this.image.width = n;
    this.image.height = cores;
    const context = this.image.getContext("2d");
    const pixels = context.createImageData(n, cores);
    for (let core = 0; core < cores; core++) {
      for (const run of ring.runs(this.firstColumn + core, view.from, bucketMs)) {
        let filled = -1;
        for (const b of run) {
          const column = b.key - first;
          const shade = this.shades[Math.min(STEPS, Math.round((b.mean / 100) * STEPS))];
          // a bucket that no sample fell into, within a run, takes its neighbour's shade
          for (let k = filled < 0 ? column : filled + 1; k <= column; k++) {
            if (k < 0 || k >= n) continue;
            pixels.data.set([...shade, 255], (core * n + k) * 4);
          }
          filled = column;
        }
      }
    }
    context.putImageData(pixels, 0, 0);
    const width = ((box.right - box.left) * bucketMs) / span;
    return { n, width, offset: (view.from - first * bucketMs) / span };
  }

  #cross(c, box, view) {
    const x = box.left + ((view.hover - view.from) / (view.to - view.from)) * (box.right - box.left);
    c.strokeStyle = view.theme.cross;
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(Math.round(x) + 0.5, box.top);
    c.lineTo(Math.round(x) + 0.5, box.bottom);
    c.stroke();
    timeChip(c, x, box, this.surface.height, view.hover, view);
  }
}
