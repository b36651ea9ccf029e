import { afterEach, expect, test, vi } from "vitest";
import { historyFile } from "./history-file";

afterEach(() => {
  vi.unstubAllGlobals();
});

test.each([
  ["fr-FR", ";", ","],
  ["en", ",", "."],
])("the file is one for spreadsheets in %s", async (locale, delimiter, decimal) => {
  let asked = "";
  vi.stubGlobal("fetch", async (path: string) => {
    asked = path;
    return new Response("\ufefftimestamp");
  });
  const file = await historyFile({ site: "A & B", room: "é;1", hours: 24, locale }, undefined);
  const { pathname, searchParams } = new URL(asked, "http://localhost");
  expect(pathname).toBe("/api/iaq/data");
  expect(Object.fromEntries(searchParams)).toEqual({
    enseigne: "A & B",
    salle: "é;1",
    hours: "24",
    format: "csv",
    delimiter,
    decimal,
    bom: "true",
  });
  expect([...new Uint8Array(await file.arrayBuffer()).slice(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
});
