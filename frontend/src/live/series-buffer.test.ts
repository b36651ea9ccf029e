import { expect, test } from "vitest";
import type { QuantityValues } from "../domain/quantities";
import { SeriesBuffer } from "./series-buffer";

/** Mulberry32: the same pseudo-random sequence on every run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

class NaiveSeries {
  private points = new Map<number, QuantityValues>();

  constructor(private readonly capacity: number) {}

  insert(atMs: number, values: QuantityValues): void {
    const times = [...this.points.keys()].sort((left, right) => left - right);
    if (!this.points.has(atMs) && times.length === this.capacity) {
      const oldest = times[0] as number;
      if (atMs < oldest) return;
      this.points.delete(oldest);
    }
    this.points.set(atMs, { ...this.points.get(atMs), ...values });
  }

  since(fromMs: number): { timesMs: number[]; co2: number[]; humidity: number[] } {
    const kept = [...this.points].filter(([atMs]) => atMs >= fromMs).sort(([left], [right]) => left - right);
    return {
      timesMs: kept.map(([atMs]) => atMs),
      co2: kept.map(([, values]) => values.co2 ?? Number.NaN),
      humidity: kept.map(([, values]) => values.humidity ?? Number.NaN),
    };
  }
}

function since(buffer: SeriesBuffer, fromMs: number): ReturnType<NaiveSeries["since"]> {
  const { timesMs, values } = buffer.columnsSince(fromMs);
  return { timesMs: [...timesMs], co2: [...values.co2], humidity: [...values.humidity] };
}

test.each([
  [1, 1],
  [2, 5],
  [3, 64],
  [4, 65],
  [5, 130],
  [6, 500],
])("seed %i, capacity %i: behaves like a sorted map that forgets the oldest", (seed, capacity) => {
  const random = seededRandom(seed);
  const buffer = new SeriesBuffer(capacity);
  const naive = new NaiveSeries(capacity);
  let clockMs = 1_000;
  for (let step = 0; step < 1_500; step += 1) {
    clockMs += Math.floor(random() * 3);
    // Mostly in order, some late, some at a time already held.
    const atMs = random() < 0.7 ? clockMs : clockMs - Math.floor(random() * 2 * capacity);
    const values: QuantityValues = random() < 0.5 ? { co2: step } : { humidity: step, co2: -step };
    buffer.insert(atMs, values);
    naive.insert(atMs, values);
    if (step % 50 === 0) {
      const fromMs = clockMs - Math.floor(random() * capacity);
      expect(since(buffer, fromMs)).toEqual(naive.since(fromMs));
    }
  }
  expect(since(buffer, 0)).toEqual(naive.since(0));
  expect(buffer.length).toBeLessThanOrEqual(capacity);
});

test("an empty buffer has nothing to give", () => {
  const buffer = new SeriesBuffer(10);
  expect(buffer.newestMs).toBeUndefined();
  expect(since(buffer, 0)).toEqual({ timesMs: [], co2: [], humidity: [] });
});
