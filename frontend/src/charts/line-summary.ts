/** The few numbers that stand for a line when it cannot be seen. */

import type { ChartLine } from "./chart-lines";

export type Trend = "rising" | "falling" | "steady";

export interface LineSummary {
  last: number;
  minimum: number;
  maximum: number;
  trend: Trend;
}

/** The last stretch of this length is compared with the one before it. */
const TREND_WINDOW_MS = 10 * 60 * 1000;
/** Smaller changes between the two are the sensor's own noise. */
const STEADY_SHARE = 0.03;

export function summarise(line: ChartLine): LineSummary | undefined {
  const values = line.values.filter((value) => value !== null);
  const last = values.at(-1);
  if (last === undefined) return undefined;
  let minimum = last;
  let maximum = last;
  for (const value of values) {
    minimum = Math.min(minimum, value);
    maximum = Math.max(maximum, value);
  }
  return { last, minimum, maximum, trend: trendOf(line) };
}

function trendOf({ timesMs, values }: ChartLine): Trend {
  const firstMs = timesMs.at(0) ?? 0;
  const lastMs = timesMs.at(-1) ?? 0;
  const windowMs = Math.min(TREND_WINDOW_MS, (lastMs - firstMs) / 2);
  const recent: number[] = [];
  const before: number[] = [];
  values.forEach((value, index) => {
    const ageMs = lastMs - Number(timesMs[index]);
    if (value === null || ageMs > 2 * windowMs) return;
    (ageMs < windowMs ? recent : before).push(value);
  });
  // After a hole there is nothing to compare with.
  if (recent.length === 0 || before.length === 0) return "steady";
  const change = mean(recent) - mean(before);
  if (Math.abs(change) <= STEADY_SHARE * Math.abs(mean(before))) return "steady";
  return change > 0 ? "rising" : "falling";
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
