import { expect, test } from "vitest";
import {
  BACKOFF_CEILING_MS,
  BACKOFF_FLOOR_MS,
  backoffDelayMs,
  CLIMB_CEILING_MS,
  GOING_AWAY_SPREAD_MS,
  spreadDelayMs,
  waitAfterClose,
} from "./backoff";

test.each([
  [0, 500],
  [1, 1_000],
  [3, 4_000],
  [6, BACKOFF_CEILING_MS],
  [1_100, BACKOFF_CEILING_MS],
])("attempt %i waits anything up to %i ms", (attempt, boundMs) => {
  expect(backoffDelayMs(attempt, () => 1)).toBe(boundMs);
  expect(backoffDelayMs(attempt, () => 0.5)).toBe(Math.max(BACKOFF_FLOOR_MS, boundMs / 2));
  expect(backoffDelayMs(attempt, () => 0)).toBe(BACKOFF_FLOOR_MS);
});

test("the ceiling can be raised", () => {
  expect(backoffDelayMs(20, () => 1, { ceilingMs: CLIMB_CEILING_MS })).toBe(CLIMB_CEILING_MS);
});

test("clients that lost their server together come back evenly over several seconds", () => {
  const draws = Array.from({ length: 100 }, (_, index) => (index + 0.5) / 100);
  const waitsMs = draws.map((draw) => spreadDelayMs(() => draw));
  for (let second = 0; second < GOING_AWAY_SPREAD_MS / 1_000; second += 1) {
    const inSecond = waitsMs.filter((waitMs) => Math.floor(waitMs / 1_000) === second);
    expect(inSecond.length).toBeGreaterThanOrEqual(12);
    expect(inSecond.length).toBeLessThanOrEqual(13);
  }
});

test.each([
  ["1001", 1001, 3, { attempt: 3, delayMs: GOING_AWAY_SPREAD_MS }],
  ["1006", 1006, 3, { attempt: 3, delayMs: 4_000 }],
  ["1013", 1013, 0, { attempt: 4, delayMs: 8_000 }],
  ["1013 again", 1013, 5, { attempt: 5, delayMs: 16_000 }],
])("after %s", (_, code, attempt, expected) => {
  expect(waitAfterClose(code, attempt, () => 1, {})).toEqual(expected);
});
