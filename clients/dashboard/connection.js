// One subscription over the browser's WebSocket, kept alive: subprotocol sluice.v1.json, full-jitter reconnect, recovery
// by cursor, repeats dropped by position, loss reported. Draws nothing and knows nothing of what the messages say.
//
// States: connecting → replaying → live; waiting (lost, the next attempt is due at `retryAt`); paused (the page is
// hidden away); stopped (trying again would fail the same way: 44xx and the like).

const SUB = 1;
const CONNECT_TIMEOUT_MS = 10_000;
const BACKOFF_MIN_MS = 250;
const BACKOFF_MAX_MS = 30_000;
const QUIET_MS = 400; // no frame for so long: the replay is over
const POSITIONS_MAX = 4096;
const PING_DEFAULT_S = 25;
const NEVER_AGAIN = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010]);

export class Connection {
  // handlers: state(connection), message(m, isLive), gap(frame), note(text)
  constructor({ url, topic, last, handlers }) {
    this.url = url;
    this.topic = topic;
    this.last = last;
    this.handlers = handlers;
    this.state = "connecting";
    this.reason = "";
    this.retryAt = 0;
    this.counts = {
      messages: 0, live: 0, replayed: 0, recovered: 0, duplicates: 0, gaps: 0, lost: 0, connects: 0, bytes: 0, errors: 0,
    };
    this.node = "";
    this.conn = "";
    this.recoveredNow = 0; // by the latest recovery
    this.socket = null;
    this.attempt = 0;
    this.cursor = null;
    this.positions = new Map(); // topic → {epoch, offset}
    this.newest = 0; // ts of the newest message
    this.bye = null;
    this.watch = setInterval(() => this.#lookAfter(), 1000);
  }

  open() {
    this.#drop();
    clearTimeout(this.retryTimer);
    this.bye = null;
    this.pingSeconds = PING_DEFAULT_S;
    this.openedAt = this.heardAt = Date.now();
    this.greeted = false;
    this.#set("connecting");
    let socket;
    try {
      socket = new WebSocket(this.url, "sluice.v1.json");
    } catch (error) {
      this.#stop(`the address is not valid: ${error.message}`);
      return;
    }
    this.socket = socket;
    socket.onopen = () => this.#subscribe();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event.code, event.reason);
  }

  // The page goes away, perhaps to come back (back/forward cache): leave in good order.
  pause() {
    clearTimeout(this.retryTimer);
    this.#drop(1000, "page hidden");
    this.#set("paused");
  }

  // Back from pause, or a reason to hope (the network is there again): no need to wait any longer.
  resume() {
    if (this.state === "paused" || this.state === "waiting") this.open();
  }

  // The user asks for it after a stop.
  again() {
    this.attempt = 0;
    this.open();
  }

  #subscribe() {
    let from = { last: this.last };
    if (this.cursor) from = { cur: this.cursor };
    else if (this.newest) from = { since: this.newest };
    this.resuming = this.newest > 0;
    this.from = from;
    this.#send({ op: "sub", id: SUB, sub: SUB, topic: this.topic, from });
  }

  #send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  #receive(text) {
    this.heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      this.counts.errors++;
      return;
    }
    this.counts.bytes += text.length;
    const handler = Connection.#frames[frame.op];
    if (handler) handler.call(this, frame);
  }

  static #frames = {
    hello(f) {
      this.greeted = true;
      this.node = String(f.node ?? "");
      this.conn = String(f.conn ?? "");
      if (f.ping_s > 0) this.pingSeconds = f.ping_s;
      this.counts.connects++;
    },
    ok(f) {
      if (f.id !== SUB) return;
      this.recoveredNow = 0;
      if (f.cur) this.cursor = f.cur;
      if (this.resuming && f.recovered === false) this.handlers.note("the log no longer holds all that was missed");
      this.#set("replaying");
      this.#awaitQuiet();
    },
    msg(f) {
      this.#message(f);
    },
    cur(f) {
      if (f.cur) this.cursor = f.cur;
    },
    gap(f) {
      this.counts.gaps++;
      if (f.lost > 0) this.counts.lost += f.lost;
      this.handlers.gap(f);
    },
    err(f) {
      this.counts.errors++;
      if (f.id === SUB) this.#refused(f);
    },
    end(f) {
      this.#stop(`${f.message ?? "the broker ended the subscription"} (${f.code})`);
    },
    bye(f) {
      this.bye = f;
    },
    ping() {
      if (this.state === "replaying") this.#live();
    },
  };

  #message(m) {
    if (m.epoch !== undefined && m.offset !== undefined) {
      const seen = this.positions.get(m.topic);
      if (seen && seen.epoch === m.epoch && m.offset <= seen.offset) {
        this.counts.duplicates++;
        return;
      }
      this.positions.set(m.topic, { epoch: m.epoch, offset: m.offset });
      if (this.positions.size > POSITIONS_MAX) this.positions.delete(this.positions.keys().next().value);
    }
    // A message of the replay is this subscription's own copy and says so by `sub`; a live one is shared.
    const isLive = m.sub === undefined;
    if (this.state === "replaying") {
      if (isLive) this.#live();
      else this.#awaitQuiet();
    }
    this.counts.messages++;
    if (isLive) this.counts.live++;
    else if (this.resuming) this.recoveredNow++;
    else this.counts.replayed++;
    if (!isLive && this.resuming) this.counts.recovered++;
    if (m.ts > this.newest) this.newest = m.ts;
    this.handlers.message(m, isLive);
  }

  #awaitQuiet() {
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => {
      if (this.state === "replaying") this.#live();
    }, QUIET_MS);
  }

  #live() {
    clearTimeout(this.quietTimer);
    this.attempt = 0;
    this.#set("live");
  }

  #refused(f) {
    const why = f.hint ? `${f.message}; ${f.hint}` : f.message;
    if (this.from?.cur) {
      // a cursor from another life of the broker: go on by time
      this.cursor = null;
      this.handlers.note(`could not go on by cursor: ${f.message}`);
      this.#subscribe();
    } else if (f.retry) {
      this.#wait(why);
    } else {
      this.#stop(why);
    }
  }

  #closed(code, reason) {
    const bye = this.bye;
    const why = bye?.message || reason || (this.greeted ? "the connection was lost" : "the broker does not answer");
    this.#drop();
    const family = Math.floor(code / 100);
    if (family === 44 || NEVER_AGAIN.has(code) || (bye && bye.retry === false)) {
      this.#stop(`${why} (${code})`);
    } else if (family === 43) {
      this.#wait(why, Number(bye?.after_ms) || Math.random() * 1000);
    } else {
      this.#wait(why);
    }
  }

  // Full jitter: anything from nothing to a bound that doubles.
  #wait(why, delay) {
    this.#drop();
    clearTimeout(this.retryTimer);
    const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(this.attempt, 16));
    this.attempt++;
    const after = Math.min(delay ?? Math.max(50, Math.random() * bound), BACKOFF_MAX_MS);
    this.reason = why;
    this.retryAt = Date.now() + after;
    this.#set("waiting");
    this.retryTimer = setTimeout(() => this.open(), after);
  }

  #stop(why) {
    this.#drop();
    clearTimeout(this.retryTimer);
    this.reason = why;
    this.#set("stopped");
  }

  // A dead line does not say so: the broker speaks at least every ping_s seconds.
  #lookAfter() {
    if (!this.socket) return;
    const silent = Date.now() - this.heardAt;
    if (!this.greeted && Date.now() - this.openedAt > CONNECT_TIMEOUT_MS) this.#wait("the broker does not answer");
    else if (silent > this.pingSeconds * 2000 + 5000) this.#wait("nothing was heard from the broker");
  }

  // Lets go of the socket at once: on a dead line its close event may take minutes.
  #drop(code, reason) {
    clearTimeout(this.quietTimer);
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (socket.readyState <= WebSocket.OPEN) socket.close(code, reason);
  }

  #set(state) {
    const before = this.state;
    this.state = state;
    this.handlers.state(this, before);
  }
}
