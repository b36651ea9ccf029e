import { expect, test } from "vitest";
import { formatAge, formatClock } from "./time";
import { formatTick, formatWithUnit } from "./units";

test.each([
  ["co2", 645.4, "en", "645\u00a0ppm"],
  ["co2", 1_645, "fr", "1\u202f645\u00a0ppm"],
  ["pm25", 12, "en", "12.0\u00a0µg/m³"],
  ["temperature", 22.34, "fr", "22,3\u00a0°C"],
  ["temperature", -4, "en", "-4.0\u00a0°C"],
  ["vocindex", 100, "en", "100"],
] as const)("%s %d in %s", (quantity, value, locale, expected) => {
  expect(formatWithUnit(quantity, value, locale)).toBe(expected);
});

test("axis labels have the decimals they need", () => {
  expect([1_000, 21.5, 21].map((value) => formatTick(value, "en"))).toEqual(["1,000", "21.5", "21"]);
});

test.each([
  [0, "en", "now"],
  [-5_000, "en", "now"],
  [12_400, "en", "12 seconds ago"],
  [59_999, "en", "59 seconds ago"],
  [61_000, "fr", "il y a 1 minute"],
  [3 * 3_600_000, "en", "3 hours ago"],
  [25 * 3_600_000, "fr", "hier"],
])("an age of %i ms in %s is %s", (ageMs, locale, expected) => {
  expect(formatAge(ageMs, locale)).toBe(expected);
});

test("the time of day follows the locale", () => {
  const afternoon = new Date(2025, 10, 19, 14, 5, 9).getTime();
  expect(formatClock(afternoon, "fr")).toBe("14:05");
  expect(formatClock(afternoon, "fr", true)).toBe("14:05:09");
  expect(formatClock(afternoon, "en-US")).toMatch(/^02:05\sPM$/);
});
