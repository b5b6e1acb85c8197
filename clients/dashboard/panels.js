// The cards: each is bound to its elements once and then updated by text and by drawing, never by markup.

import { CoreStrip, TimeChart } from "./chart.js";
import * as format from "./format.js";
import { CPU, DISK, LOAD, MEMORY, NET } from "./model.js";

const $ = (id) => document.getElementById(id);

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// Coloured words above a chart; with a value each while the pointer is on one.
class Legend {
  constructor(list, entries) {
    this.values = entries.map(([label, color]) => {
      const item = element("li", `key key-${color}`);
      const value = element("span", "key-value");
      item.append(element("span", "swatch"), element("span", "", label), value);
      list.append(item);
      return value;
    });
  }

  show(texts) {
    this.values.forEach((e, i) => setText(e, texts ? texts[i] : ""));
  }
}

// The sample under the pointer, or the newest.
function sampleAt(ring, view) {
  if (!ring || ring.length === 0) return -1;
  return view.hover === null ? ring.length - 1 : ring.nearest(view.hover, 3000);
}

function describe(canvas, text) {
  canvas.setAttribute("aria-label", text);
}

export class CpuPanel {
  constructor(onHover) {
    this.chart = new TimeChart($("cpu-chart"), {
      lines: [
        { column: CPU.total, color: "blue", fill: true },
        { column: CPU.system, color: "amber", thin: true },
        { column: CPU.iowait, color: "rose", thin: true },
      ],
      ceiling: () => 100,
      format: (v) => `${v} %`,
      onHover,
    });
    this.strip = new CoreStrip($("cores-chart"), { firstColumn: CPU.cores, onHover });
    this.legend = new Legend($("cpu-legend"), [["total", "blue"], ["system", "amber"], ["I/O wait", "rose"]]);
    this.cores = -1;
  }

  update(host, view) {
    const ring = host.cpu;
    const i = sampleAt(ring, view);
    const value = (c) => (i < 0 ? NaN : ring.value(i, c));
    setText($("cpu-value"), i < 0 ? "–" : format.percent(value(CPU.total)));
    this.legend.show(view.hover === null || i < 0 ? null : [CPU.total, CPU.system, CPU.iowait].map((c) => `${format.percent(value(c))} %`));
    const cores = ring ? ring.columns - CPU.cores : 0;
    if (cores !== this.cores) {
      this.cores = cores;
      const height = CoreStrip.height(cores);
      $("cores-chart").parentElement.style.height = `${height}px`;
      setText($("cores-title"), cores === 1 ? "1 core" : `${cores} cores`);
      this.strip.surface.measure();
    }
    const peak = ring ? ring.max(CPU.total, view.from) : 0;
    setText($("cpu-aside"), i < 0 ? "" : `peak ${format.percent(peak)} %`);
    this.chart.draw(ring, view);
    this.strip.draw(ring, view);
  }

  describe(host) {
    const now = host.cpu?.last(CPU.total);
    describe(this.chart.surface.canvas, `CPU load over time, now ${Number.isFinite(now) ? format.percent(now) : "unknown"} percent`);
    describe(this.strip.surface.canvas, `Load of each of ${this.cores} cores over time`);
  }
}

export class MemoryPanel {
  constructor(onHover) {
    this.total = 1;
    this.chart = new TimeChart($("memory-chart"), {
      lines: [
        { column: MEMORY.used, color: "violet", fill: true },
        { column: MEMORY.cached, color: "teal", thin: true },
      ],
      ceiling: () => this.total,
      format: (v) => format.bytes(v),
      onHover,
    });
    this.legend = new Legend($("memory-legend"), [["used", "violet"], ["cached", "teal"]]);
    this.meters = ["Memory", "Swap"].map((name) => {
      const row = element("div", "meter");
      const bar = element("div", "meter-bar");
      const fill = element("div", "meter-fill");
      const label = element("span", "meter-label");
      bar.append(fill);
      row.append(element("span", "meter-name", name), bar, label);
      $("memory-meters").append(row);
      return { row, fill, label };
    });
  }

  #meter(meter, used, total) {
    meter.row.hidden = !(total > 0);
    const share = total > 0 ? (used / total) * 100 : 0;
    meter.fill.style.width = `${Math.min(100, share).toFixed(1)}%`;
    setText(meter.label, `${format.percent(share)} %`);
  }

  update(host, view) {
    const now = host.memoryNow;
    this.total = now?.total || 1;
    const i = sampleAt(host.memory, view);
    if (i >= 0) {
      const used = format.bytesParts(host.memory.value(i, MEMORY.used));
      setText($("memory-value"), used.text);
      setText($("memory-unit"), used.unit);
    }
    this.legend.show(view.hover === null || i < 0 ? null : [MEMORY.used, MEMORY.cached].map((c) => format.bytes(host.memory.value(i, c))));
    if (now) {
      setText($("memory-aside"), `of ${format.bytes(now.total)}`);
      this.#meter(this.meters[0], now.used, now.total);
      this.#meter(this.meters[1], now.swapUsed, now.swapTotal);
    }
    this.chart.draw(host.memory, view);
  }

  describe(host) {
    const now = host.memoryNow;
    describe(this.chart.surface.canvas, `Memory over time, now ${now ? `${format.bytes(now.used)} of ${format.bytes(now.total)}` : "unknown"} used`);
  }
}

export class LoadPanel {
  constructor(onHover) {
    this.chart = new TimeChart($("load-chart"), {
      lines: [
        { column: LOAD.fifteen, color: "violet", thin: true },
        { column: LOAD.five, color: "teal", thin: true },
        { column: LOAD.one, color: "blue", fill: true },
      ],
      floor: 0.5,
      format: (v) => format.load(v),
      onHover,
    });
    this.legend = new Legend($("load-legend"), [["1 min", "blue"], ["5 min", "teal"], ["15 min", "violet"]]);
  }

  update(host, view) {
    const i = sampleAt(host.load, view);
    setText($("load-value"), i < 0 ? "–" : format.load(host.load.value(i, LOAD.one)));
    this.legend.show(i < 0 ? null : [LOAD.one, LOAD.five, LOAD.fifteen].map((c) => format.load(host.load.value(i, c))));
    const tasks = host.loadNow;
    setText($("load-aside"), tasks ? `${format.count(tasks.running)} running of ${format.count(tasks.tasks)} tasks` : "");
    this.chart.draw(host.load, view);
  }

  describe(host) {
    const now = host.load.last(LOAD.one);
    describe(this.chart.surface.canvas, `Load average over time, now ${Number.isFinite(now) ? format.load(now) : "unknown"}`);
  }
}

// Network and disks alike: one direction up, the other down, and a button for each device.
class FlowPanel {
  constructor(id, { up, down, label, side, devices, busy, onHover }) {
    this.id = id;
    this.up = up;
    this.down = down;
    this.label = label;
    this.devices = devices;
    this.busy = busy;
    this.side = side;
    this.chosen = null; // by the user
    this.chart = new TimeChart($(`${id}-chart`), {
      lines: [
        { column: up.column, color: up.color, fill: true },
        { column: down.column, color: down.color, fill: true, down: true },
      ],
      floor: 10_000,
      format: (v) => format.rate(v),
      onHover,
    });
    new Legend($(`${id}-legend`), [[up.name, up.color], [down.name, down.color]]);
    this.pair = [up, down].map((d) => {
      const box = element("p", `figure small key-${d.color}`);
      const value = element("span", "value", "–");
      const unit = element("span", "unit");
      box.append(element("span", "arrow", d.arrow), value, unit);
      $(`${id}-pair`).append(box);
      return { value, unit };
    });
    this.aside = element("span", "aside");
    $(`${id}-pair`).append(this.aside);
    this.rows = new Map();
  }

  // The user's choice, else the one that moved most in the time shown.
  #pick(rings, view) {
    if (this.chosen && rings.has(this.chosen)) return this.chosen;
    if (this.auto && rings.has(this.auto) && view.now - this.autoAt < 5000 && this.autoOf === rings) return this.auto;
    let best = null;
    let most = -1;
    for (const [name, ring] of rings) {
      const moved = ring.max(this.up.column, view.from) + ring.max(this.down.column, view.from);
      if (moved > most) [best, most] = [name, moved];
    }
    this.auto = best;
    this.autoAt = view.now;
    this.autoOf = rings;
    return best;
  }

  #row(name) {
    let row = this.rows.get(name);
    if (row) return row;
    const button = element("button", "device");
    button.type = "button";
    const detail = element("span", "device-detail");
    button.append(element("span", "device-name", name), detail);
    button.addEventListener("click", () => {
      this.chosen = name;
    });
    row = { button, detail };
    this.rows.set(name, row);
    return row;
  }

  #list(rings, selected, host) {
    const names = [...rings.keys()].sort();
    for (const [name, row] of this.rows) {
      if (rings.has(name)) continue;
      row.button.remove();
      this.rows.delete(name);
    }
    for (const name of names) {
      const row = this.#row(name);
      if (!row.button.isConnected) $(`${this.id}-devices`).append(row.button);
      row.button.setAttribute("aria-pressed", String(name === selected));
      setText(row.detail, this.side(rings.get(name), host, name));
    }
    $(`${this.id}-devices`).hidden = names.length === 0;
  }

  update(host, view) {
    const rings = this.devices(host);
    const name = this.#pick(rings, view);
    const ring = name === null ? null : rings.get(name);
    if (ring !== this.ring) {
      this.ring = ring;
      this.chart.top = this.chart.floor;
    }
    const i = sampleAt(ring, view);
    [this.up, this.down].forEach((d, k) => {
      const parts = i < 0 ? { text: "–", unit: "" } : format.rateParts(ring.value(i, d.column));
      setText(this.pair[k].value, parts.text);
      setText(this.pair[k].unit, parts.unit);
    });
    setText(this.aside, i >= 0 && this.busy ? this.busy(ring, i) : "");
    this.#list(rings, name, host);
    this.chart.draw(ring, view);
  }

  describe() {
    const now = (d) => (this.ring?.length ? format.rate(this.ring.last(d.column)) : "unknown");
    describe(this.chart.surface.canvas, `${this.label} over time, now ${this.up.name} ${now(this.up)}, ${this.down.name} ${now(this.down)}`);
  }
}

export function networkPanel(onHover) {
  return new FlowPanel("network", {
    label: "Network throughput",
    up: { column: NET.rx, color: "teal", name: "received", arrow: "↓" },
    down: { column: NET.tx, color: "blue", name: "sent", arrow: "↑" },
    devices: (host) => host.nets,
    busy: (ring, i) => `${format.count(ring.value(i, NET.rxPackets) + ring.value(i, NET.txPackets))} packets/s`,
    side: (ring, host, name) => {
      const bad = host.netNow.get(name);
      const trouble = bad && bad.errors > 0 ? `, ${format.count(bad.errors)} errors` : "";
      return `${format.rate(ring.last(NET.rx) + ring.last(NET.tx))}${trouble}`;
    },
    onHover,
  });
}

export function diskPanel(onHover) {
  return new FlowPanel("disk", {
    label: "Disk throughput",
    up: { column: DISK.read, color: "amber", name: "read", arrow: "↑" },
    down: { column: DISK.write, color: "violet", name: "written", arrow: "↓" },
    devices: (host) => host.disks,
    busy: (ring, i) => `${format.percent(ring.value(i, DISK.busy))} % busy, ${format.count(ring.value(i, DISK.readOps) + ring.value(i, DISK.writeOps))} ops/s`,
    side: (ring) => `${format.rate(ring.last(DISK.read) + ring.last(DISK.write))}`,
    onHover,
  });
}

export class ProcessPanel {
  constructor() {
    this.rows = [];
  }

  #row(i) {
    while (this.rows.length <= i) {
      const tr = element("tr");
      const name = element("td", "process-name");
      const pid = element("td", "number pid");
      const cpu = element("td", "number cpu");
      const track = element("span", "cpu-track");
      const bar = element("span", "cpu-bar");
      const cpuText = element("span", "cpu-text");
      const memory = element("td", "number");
      track.append(bar);
      cpu.append(track, cpuText);
      tr.append(name, pid, cpu, memory);
      $("processes").append(tr);
      this.rows.push({ tr, name, pid, bar, cpuText, memory });
    }
    return this.rows[i];
  }

  update(host) {
    const list = host.processes;
    if (!list || list === this.shown) return;
    this.shown = list;
    list.top.forEach((p, i) => {
      const row = this.#row(i);
      row.tr.hidden = false;
      setText(row.name, p.name || "?");
      setText(row.pid, String(p.pid));
      setText(row.cpuText, `${format.percent(p.cpu)} %`);
      row.bar.style.width = `${Math.min(100, p.cpu).toFixed(1)}%`;
      setText(row.memory, format.bytes(p.rss));
    });
    for (let i = list.top.length; i < this.rows.length; i++) this.rows[i].tr.hidden = true;
    setText($("processes-aside"), `${format.count(list.count)} in all; CPU in percent of one core`);
  }
}

export class StreamPanel {
  constructor() {
    this.cells = {};
    for (const [key, label] of [
      ["rate", "messages/s"], ["messages", "messages"], ["replayed", "from the log"], ["recovered", "recovered"],
      ["connects", "connections"], ["lost", "lost"],
    ]) {
      const box = element("div");
      const value = element("dd", "", "0");
      box.append(element("dt", "", label), value);
      $("counters").append(box);
      this.cells[key] = value;
    }
  }

  update(connection, perSecond) {
    const counts = connection.counts;
    setText(this.cells.rate, perSecond < 10 ? perSecond.toFixed(1) : format.count(perSecond));
    for (const key of ["messages", "replayed", "recovered", "connects", "lost"]) {
      setText(this.cells[key], format.count(counts[key]));
    }
    setText($("stream-node"), connection.node ? `node ${connection.node}` : "");
  }

  // The newest dozen, newest first; what happens again right away is counted.
  add(text, kind) {
    const list = $("events");
    const time = format.clock(Date.now());
    if (list.firstElementChild && this.newest?.text === text) {
      this.newest.times++;
      setText(list.firstElementChild.firstElementChild, time);
      setText(list.firstElementChild.lastElementChild, `${text} (${this.newest.times} times)`);
      return;
    }
    this.newest = { text, times: 1 };
    const item = element("li", kind);
    item.append(element("time", "", time), element("span", "", text));
    list.prepend(item);
    while (list.children.length > 12) list.lastElementChild.remove();
  }
}
