// Samples over time in fixed memory: one clock column and a few value columns, oldest overwritten first.

export class Ring {
  constructor(columns, capacity) {
    this.capacity = capacity;
    this.columns = columns;
    this.times = new Float64Array(capacity);
    this.values = Array.from({ length: columns }, () => new Float32Array(capacity));
    this.head = 0; // where the next sample goes
    this.length = 0;
    this.interval = 250; // running mean of the time between samples, ms
  }

  // Samples come in order of time; one that does not is a repeat and is left out.
  push(time, row) {
    const last = this.lastTime;
    if (!Number.isFinite(time) || time <= last) return false;
    const step = time - last;
    if (this.length > 0 && step < 10_000) this.interval += (step - this.interval) * 0.05;
    this.times[this.head] = time;
    for (let c = 0; c < this.columns; c++) {
      const v = row[c];
      this.values[c][this.head] = Number.isFinite(v) ? v : 0;
    }
    this.head = (this.head + 1) % this.capacity;
    if (this.length < this.capacity) this.length++;
    return true;
  }

  // i counts from the oldest sample.
  slot(i) {
    return (this.head - this.length + i + 2 * this.capacity) % this.capacity;
  }

  time(i) {
    return this.times[this.slot(i)];
  }

  value(i, column) {
    return this.values[column][this.slot(i)];
  }

  get lastTime() {
    return this.length ? this.time(this.length - 1) : -Infinity;
  }

  last(column) {
    return this.length ? this.value(this.length - 1, column) : NaN;
  }

  // First sample at or after `time`; length if there is none.
  lowerBound(time) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.time(mid) < time) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  // The sample nearest to `time`, not further away than `within`; -1 if there is none.
  nearest(time, within) {
    const after = this.lowerBound(time);
    let best = -1;
    let distance = within;
    for (const i of [after - 1, after]) {
      if (i < 0 || i >= this.length) continue;
      const d = Math.abs(this.time(i) - time);
      if (d <= distance) {
        best = i;
        distance = d;
      }
    }
    return best;
  }

  max(column, from) {
    let most = 0;
    for (let i = this.lowerBound(from); i < this.length; i++) most = Math.max(most, this.value(i, column));
    return most;
  }

  largestStep() {
    let most = 0;
    for (let i = 1; i < this.length; i++) most = Math.max(most, this.time(i) - this.time(i - 1));
    return most;
  }

  // Two samples further apart than this have a hole between them.
  get breakAfter() {
    return Math.max(1500, this.interval * 4);
  }

  // Runs of buckets for drawing: [{start, mean, low, high}, …] for each stretch without a hole. Buckets lie on a grid of
  // absolute time, so that the picture moves without flickering.
  runs(column, from, bucketMs) {
    const out = [];
    let run = null;
    let bucket = null;
    let previous = -Infinity;
    const first = Math.max(0, this.lowerBound(from) - 1);
    for (let i = first; i < this.length; i++) {
      const t = this.time(i);
      const v = this.value(i, column);
      const key = Math.floor(t / bucketMs);
      if (!run || t - previous > this.breakAfter) {
        run = [];
        out.push(run);
        bucket = null;
      }
      if (!bucket || bucket.key !== key) {
        bucket = { key, time: 0, sum: 0, n: 0, low: v, high: v };
        run.push(bucket);
      }
      bucket.time += t;
      bucket.sum += v;
      bucket.n++;
      bucket.low = Math.min(bucket.low, v);
      bucket.high = Math.max(bucket.high, v);
      previous = t;
    }
    for (const r of out) {
      for (const b of r) {
        b.time /= b.n;
        b.mean = b.sum / b.n;
      }
    }
    return out;
  }
}
