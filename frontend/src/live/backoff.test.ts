import { expect, test } from "vitest";
import { BACKOFF_CEILING_MS, BACKOFF_FLOOR_MS, backoffDelayMs } from "./backoff";

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
