// The dashboard page: connects, keeps the model, draws a few times a second. Everything that comes over the wire is shown
// as text. For tests and the curious, window.sluiceDashboard tells the state.

import { readTheme } from "./chart.js";
import { Connection } from "./connection.js";
import * as format from "./format.js";
import { Model } from "./model.js";
import {
  CpuPanel, LoadPanel, MemoryPanel, ProcessPanel, StreamPanel, diskPanel, networkPanel,
} from "./panels.js";

const LAST = 1200; // of each topic: five minutes at 4 Hz
const DRAW_MS = 125; // at most 8 times a second
const DRAW_CALM_MS = 500; // for people who asked for less motion
const DESCRIBE_MS = 5000;
const SILENT_MS = 5000;
const WINDOW_MIN_MS = 20_000;

const $ = (id) => document.getElementById(id);
const model = new Model();
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const page = {
  host: null, // name of the host that was asked for
  found: null, // name of the host shown when none was
  windowMs: 5 * 60_000,
  hoverShare: null,
  theme: readTheme(),
  skew: null, // broker's clock minus this one, as far as messages tell
  skewIsLive: false,
  firstPaint: null,
  drawnAt: 0,
  describedAt: 0,
  rate: { at: performance.now(), count: 0, perSecond: 0 },
  recoveredUntil: 0,
  gapUntil: 0,
  gapText: "",
};

const onHover = (share) => {
  page.hoverShare = share;
  page.drawnAt = 0; // follow the pointer at once
};

const panels = [
  new CpuPanel(onHover), new MemoryPanel(onHover), networkPanel(onHover), diskPanel(onHover), new LoadPanel(onHover),
  new ProcessPanel(),
];
const stream = new StreamPanel();

// ---- connection ----

function onState(connection, before) {
  const { state } = connection;
  if (state === before) return;
  say(state, before);
  if (state === "live" && connection.resuming) {
    page.recoveredUntil = Date.now() + 6000;
    stream.add(`reconnected, ${messages(connection.recoveredNow)} recovered`, "good");
  } else if (state === "live") {
    stream.add(`live, ${messages(connection.counts.replayed)} from the log`, "good");
  } else if (state === "waiting") {
    stream.add(connection.reason, "bad");
  } else if (state === "stopped") {
    stream.add(`stopped: ${connection.reason}`, "bad");
  } else if (state === "paused") {
    stream.add("paused while the page was away", "");
  }
  showBadge();
}

// For screen readers: once for each change that matters.
function say(state, before) {
  const words = {
    live: connection.resuming ? `live again, recovered ${messages(connection.recoveredNow)}` : "live",
    waiting: before === "live" || before === "replaying" ? "connection lost, reconnecting" : null,
    stopped: `stopped: ${connection.reason}`,
  }[state];
  if (words) $("spoken").textContent = words;
}

function onMessage(m, isLive) {
  if (!model.take(m)) return;
  if (isLive) page.rate.count++;
  // Every message tells the broker's time at least, the quickest live one best; a clock that is set anew is followed.
  const ahead = m.ts - Date.now();
  if (page.skew === null || (isLive && !page.skewIsLive)) page.skew = ahead;
  else if (isLive === page.skewIsLive) page.skew = ahead > page.skew ? ahead : page.skew + (ahead - page.skew) * 5e-4;
  page.skewIsLive ||= isLive;
}

function onGap(gap) {
  const what = gap.lost > 0 ? `${messages(gap.lost)} lost` : "messages lost";
  page.gapText = `${what} (${String(gap.reason ?? "unknown").slice(0, 40)})`;
  page.gapUntil = Date.now() + 6000;
  stream.add(gap.topic ? `${page.gapText} on ${String(gap.topic).slice(0, 80)}` : page.gapText, "bad");
}

function messages(n) {
  return n === 1 ? "1 message" : `${format.count(n)} messages`;
}

const address = new URL("ws", document.baseURI);
address.protocol = address.protocol === "https:" ? "wss:" : "ws:";

const connection = new Connection({
  url: address.href,
  topic: "host/#",
  last: LAST,
  handlers: { state: onState, message: onMessage, gap: onGap, note: (text) => stream.add(text, "bad") },
});

// ---- badge ----

function badgeText() {
  const now = Date.now();
  switch (connection.state) {
    case "connecting":
      return connection.counts.connects > 0 ? "reconnecting…" : "connecting…";
    case "replaying":
      return connection.resuming ? "recovering…" : "replaying the log…";
    case "waiting":
      return `reconnecting in ${Math.max(1, Math.ceil((connection.retryAt - now) / 1000))} s`;
    case "paused":
      return "paused";
    case "stopped":
      return "stopped";
    default:
      if (page.gapUntil > now) return `live · ${page.gapText}`;
      return page.recoveredUntil > now ? `live · recovered ${messages(connection.recoveredNow)}` : "live";
  }
}

function showBadge() {
  const text = badgeText();
  if ($("badge-text").textContent !== text) $("badge-text").textContent = text;
  $("badge").dataset.state = connection.state === "live" && page.gapUntil > Date.now() ? "gap" : connection.state;
  $("badge").title = connection.state === "waiting" ? connection.reason : "";
  const isStopped = connection.state === "stopped";
  if ($("stopped").hidden === isStopped) $("stopped").hidden = !isStopped;
  if (isStopped) $("stopped-text").textContent = `The connection was ended: ${connection.reason}`;
}

// ---- hosts ----

// A host that was opened by its address (#web-1) or chosen, else the first that speaks; that one then stays.
function chosenHost() {
  const chosen = model.hosts.get(page.host) ?? model.hosts.get(page.found);
  if (chosen) return chosen;
  const now = brokerNow();
  const speaks = (name) => now - model.hosts.get(name).lastTime < SILENT_MS;
  page.found = model.names.find(speaks) ?? model.names[0] ?? null;
  return model.hosts.get(page.found) ?? null;
}

const hostButtons = new Map();

function showHosts(selected, now) {
  for (const name of model.names) {
    let button = hostButtons.get(name);
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "host-button";
      const dot = document.createElement("span");
      dot.className = "dot";
      const label = document.createElement("span");
      label.textContent = name;
      const note = document.createElement("span");
      note.className = "quiet";
      button.append(dot, label, note);
      button.addEventListener("click", () => {
        page.host = name;
        page.drawnAt = 0;
        history.replaceState(null, "", `#${encodeURIComponent(name)}`);
      });
      hostButtons.set(name, button);
      const after = model.names.slice(model.names.indexOf(name) + 1).map((n) => hostButtons.get(n)).find(Boolean);
      $("hosts").insertBefore(button, after ?? null);
    }
    const silent = now - model.hosts.get(name).lastTime;
    const isSilent = silent > SILENT_MS;
    button.setAttribute("aria-pressed", String(name === selected.name));
    button.dataset.silent = String(isSilent);
    const note = isSilent ? `silent for ${format.duration(silent / 1000)}` : "";
    if (button.lastElementChild.textContent !== note) button.lastElementChild.textContent = note;
  }
}

function showFacts(host, now) {
  const info = host.info;
  const uptime = info ? info.uptime + (now - info.ts) / 1000 : 0;
  const facts = info
    ? [["System", info.os], ["Kernel", `${info.kernel} ${info.arch}`], ["Processor", `${info.cores} × ${info.model}`],
       ["Up", format.duration(uptime)]]
    : [];
  const list = $("facts");
  while (list.children.length > facts.length) list.lastElementChild.remove();
  facts.forEach(([name, value], i) => {
    let box = list.children[i];
    if (!box) {
      box = document.createElement("div");
      box.append(document.createElement("dt"), document.createElement("dd"));
      list.append(box);
    }
    if (box.firstElementChild.textContent !== name) box.firstElementChild.textContent = name;
    if (box.lastElementChild.textContent !== value) box.lastElementChild.textContent = value;
  });
}

// ---- drawing ----

// The broker's time now. As long as all messages are from the log, their age says nothing about its clock.
function brokerNow() {
  const skew = page.skew ?? 0;
  return Date.now() + (page.skewIsLive || skew > 0 ? skew : 0);
}

function isReady() {
  return page.firstPaint !== null || connection.state === "live" || (connection.state !== "replaying" && model.hosts.size > 0);
}

function countRate() {
  const r = page.rate;
  const elapsed = performance.now() - r.at;
  if (elapsed < 1000) return;
  r.perSecond = (r.count * 1000) / elapsed;
  r.count = 0;
  r.at = performance.now();
}

function draw(time) {
  requestAnimationFrame(draw);
  if (time - page.drawnAt < (calm.matches ? DRAW_CALM_MS : DRAW_MS)) return;
  page.drawnAt = time;
  showBadge();
  if (!isReady()) return;
  countRate();
  stream.update(connection, page.rate.perSecond);
  const host = chosenHost();
  if (!host) {
    $("empty-text").textContent = "Connected. No host has reported yet.";
    $("empty-hint").hidden = false;
    return;
  }
  $("empty").hidden = true;
  $("grid").hidden = false;
  const now = brokerNow();
  showHosts(host, now);
  showFacts(host, now);
  // While there is less history than was asked for, the charts show what there is instead of an empty left half.
  const span = Math.min(page.windowMs, Math.max(WINDOW_MIN_MS, now - host.firstTime));
  const from = now - span;
  const hover = page.hoverShare === null ? null : from + page.hoverShare * span;
  const view = { now, from, to: now, hover, theme: page.theme };
  for (const panel of panels) panel.update(host, view);
  if (time - page.describedAt > DESCRIBE_MS) {
    page.describedAt = time;
    for (const panel of panels) panel.describe?.(host);
  }
  page.firstPaint ??= { at: performance.now(), points: host.points, host: host.name, hosts: model.hosts.size };
}

// ---- page ----

for (const button of $("windows").children) {
  button.addEventListener("click", () => {
    page.windowMs = Number(button.dataset.minutes) * 60_000;
    page.drawnAt = 0;
    for (const b of $("windows").children) b.setAttribute("aria-pressed", String(b === button));
  });
}

$("again").addEventListener("click", () => connection.again());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  page.theme = readTheme();
});
// An open socket keeps a page out of the back/forward cache, so it leaves in good order and comes back where it was.
addEventListener("pagehide", () => connection.pause());
addEventListener("pageshow", () => connection.resume());
addEventListener("online", () => connection.resume());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && connection.state === "waiting") connection.resume();
});

function nameFromAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

page.host = nameFromAddress();
$("five-lines").textContent = `const ws = new WebSocket("${address.href}", "sluice.v1.json");
ws.onopen = () => ws.send('{"op":"sub","topic":"host/#"}');
ws.onmessage = e => { const m = JSON.parse(e.data); if (m.op === "msg") draw(m.topic, m.data); };
ws.onclose = e => console.log(e.code, e.reason);`;
addEventListener("hashchange", () => {
  page.host = nameFromAddress() ?? page.host;
});

window.sluiceDashboard = Object.freeze({
  get state() { return connection.state; },
  get reason() { return connection.reason; },
  get badge() { return badgeText(); },
  get counts() { return { ...connection.counts }; },
  get firstPaint() { return page.firstPaint; },
  get hosts() { return model.names; },
  get host() { return chosenHost()?.name ?? null; },
  get points() { return chosenHost()?.points ?? 0; },
  get last() { return Object.fromEntries(model.last); },
  get conn() { return connection.conn; },
  // the longest time between two samples of the host shown: a hole, if it is long
  get largestStepMs() { return chosenHost()?.load.largestStep() ?? 0; },
});

connection.open();
requestAnimationFrame(draw);
