// What the messages say: for each host its recent samples, in fixed memory. Messages come from anyone who may publish, so
// every field is checked, every count is bounded, and text stays text.

import { Ring } from "./series.js";

const CAPACITY = 1536; // six minutes at 4 Hz
const HOSTS_MAX = 32;
const DEVICES_MAX = 16;
const CORES_MAX = 1024;
const PROCESSES_MAX = 10;
const TEXT_MAX = 120;

export const CPU = { total: 0, user: 1, system: 2, iowait: 3, cores: 4 };
export const MEMORY = { used: 0, cached: 1, swap: 2 };
export const LOAD = { one: 0, five: 1, fifteen: 2 };
export const DISK = { read: 0, write: 1, busy: 2, readOps: 3, writeOps: 4 };
export const NET = { rx: 0, tx: 1, rxPackets: 2, txPackets: 3 };

function number(v) {
  return typeof v === "number" && Number.isFinite(v) && v >= 0 ? v : 0;
}

function text(v) {
  return typeof v === "string" ? v.slice(0, TEXT_MAX) : "";
}

class Host {
  constructor(name) {
    this.name = name;
    this.info = null;
    this.memory = new Ring(3, CAPACITY);
    this.load = new Ring(3, CAPACITY);
    this.cpu = null; // made when the number of cores is known
    this.disks = new Map();
    this.nets = new Map();
    this.processes = null;
    this.memoryNow = null;
    this.loadNow = null;
    this.netNow = new Map();
    this.lastTime = 0;
  }

  // Time of the oldest sample that is still kept.
  get firstTime() {
    const starts = [this.cpu, this.memory, this.load].filter((r) => r?.length > 0).map((r) => r.time(0));
    return Math.min(this.lastTime, ...starts);
  }

  get points() {
    return Math.max(this.cpu?.length ?? 0, this.memory.length, this.load.length);
  }
}

function device(map, name, columns) {
  let ring = map.get(name);
  if (!ring && map.size < DEVICES_MAX) {
    ring = new Ring(columns, CAPACITY);
    map.set(name, ring);
  }
  return ring;
}

// By the level after the host: how a message becomes a sample.
const readers = {
  cpu(host, ts, d) {
    const cores = Array.isArray(d.cores) ? d.cores.slice(0, CORES_MAX).map(number) : [];
    const columns = CPU.cores + cores.length;
    if (host.cpu?.columns !== columns) host.cpu = new Ring(columns, CAPACITY);
    host.cpu.push(ts, [number(d.total), number(d.user), number(d.system), number(d.iowait), ...cores]);
  },
  memory(host, ts, d) {
    host.memoryNow = {
      total: number(d.total), used: number(d.used), available: number(d.available), free: number(d.free),
      buffers: number(d.buffers), cached: number(d.cached), swapTotal: number(d.swap_total), swapUsed: number(d.swap_used),
    };
    host.memory.push(ts, [host.memoryNow.used, host.memoryNow.cached + host.memoryNow.buffers, host.memoryNow.swapUsed]);
  },
  load(host, ts, d) {
    host.loadNow = { running: number(d.running), tasks: number(d.tasks) };
    host.load.push(ts, [number(d.one), number(d.five), number(d.fifteen)]);
  },
  disk(host, ts, d, name) {
    if (!name) return;
    device(host.disks, name, 5)?.push(ts, [
      number(d.read), number(d.write), number(d.busy), number(d.read_iops), number(d.write_iops),
    ]);
  },
  net(host, ts, d, name) {
    if (!name) return;
    const ring = device(host.nets, name, 4);
    if (!ring) return;
    ring.push(ts, [number(d.rx), number(d.tx), number(d.rx_packets), number(d.tx_packets)]);
    host.netNow.set(name, {
      errors: number(d.rx_errors) + number(d.tx_errors), drops: number(d.rx_drops) + number(d.tx_drops),
    });
  },
  processes(host, ts, d) {
    if (host.processes && ts < host.processes.ts) return;
    const top = Array.isArray(d.top) ? d.top.slice(0, PROCESSES_MAX) : [];
    host.processes = {
      ts,
      count: number(d.count),
      top: top.filter((p) => p && typeof p === "object").map((p) => ({
        pid: number(p.pid), name: text(p.name), cpu: number(p.cpu), rss: number(p.rss),
      })),
    };
  },
  info(host, ts, d) {
    host.info = {
      host: text(d.host), os: text(d.os), kernel: text(d.kernel), arch: text(d.arch), model: text(d.model),
      cores: number(d.cores), memory: number(d.memory), uptime: number(d.uptime), ts,
    };
  },
};

export class Model {
  constructor() {
    this.hosts = new Map();
    this.last = new Map(); // newest payload by "host/kind"
    this.unread = 0; // messages that say nothing this page knows
  }

  // True when the message became part of the picture.
  take(m) {
    const [root, name, kind, deviceName] = String(m.topic).split("/");
    const reader = Object.hasOwn(readers, kind ?? "") ? readers[kind] : null;
    const isKnown = root === "host" && name && reader && m.data && typeof m.data === "object" && Number.isFinite(m.ts);
    const host = isKnown ? this.#host(name) : null;
    if (!host) {
      this.unread++;
      return false;
    }
    reader(host, m.ts, m.data, deviceName);
    host.lastTime = Math.max(host.lastTime, m.ts);
    if (deviceName === undefined) this.last.set(`${name}/${kind}`, m.data);
    return true;
  }

  #host(name) {
    let host = this.hosts.get(name);
    if (!host && this.hosts.size < HOSTS_MAX) {
      host = new Host(name);
      this.hosts.set(name, host);
    }
    return host;
  }

  get names() {
    return [...this.hosts.keys()].sort();
  }
}
