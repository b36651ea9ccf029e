import { expect, test } from "vitest";
import { csvDialect } from "./csv-dialect";

test.each([
  ["en", ",", "."],
  ["en-GB", ",", "."],
  ["fr", ";", ","],
  ["fr-FR", ";", ","],
  ["de", ";", ","],
] as const)("%s parts cells with %s and fractions with %s", (locale, delimiter, decimal) => {
  expect(csvDialect(locale)).toEqual({ delimiter, decimal, bom: true });
});
