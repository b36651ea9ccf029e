/** Turns stored columns into lines to draw: real times, and holes where a sensor fell silent. */

import type { MainQuantity } from "../domain/quantities";
import type { SeriesColumns } from "../live/series-buffer";

export interface ChartLine {
  name: string;
  quantity: MainQuantity;
  timesMs: number[];
  /** Null breaks the line. */
  values: (number | null)[];
}

/** A pause this many times the usual interval is a hole, not a slow reading. */
const GAP_INTERVALS = 3;
const GAP_MIN_MS = 15_000;

export function chartLine(name: string, quantity: MainQuantity, columns: SeriesColumns): ChartLine {
  const source = columns.values[quantity];
  const timesMs: number[] = [];
  const values: number[] = [];
  source.forEach((value, index) => {
    if (Number.isNaN(value)) return;
    timesMs.push(columns.timesMs[index] as number);
    values.push(value);
  });
  return { name, quantity, ...withGaps(timesMs, values) };
}

function withGaps(timesMs: number[], values: number[]): Pick<ChartLine, "timesMs" | "values"> {
  const gapMs = Math.max(GAP_MIN_MS, GAP_INTERVALS * medianInterval(timesMs));
  const spacedMs: number[] = [];
  const broken: (number | null)[] = [];
  timesMs.forEach((atMs, index) => {
    const previousMs = timesMs[index - 1];
    if (previousMs !== undefined && atMs - previousMs > gapMs) {
      spacedMs.push((atMs + previousMs) / 2);
      broken.push(null);
    }
    spacedMs.push(atMs);
    broken.push(values[index] as number);
  });
  return { timesMs: spacedMs, values: broken };
}

function medianInterval(timesMs: readonly number[]): number {
  if (timesMs.length < 2) return 0;
  const intervals = Float64Array.from(
    { length: timesMs.length - 1 },
    (_, index) => Number(timesMs[index + 1]) - Number(timesMs[index]),
  ).sort();
  return intervals[Math.floor(intervals.length / 2)] as number;
}
