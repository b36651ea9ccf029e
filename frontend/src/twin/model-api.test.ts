import { expect, test } from "vitest";
import { looksLikeGlb, modelsOf } from "./model-api";

const MODEL = { id: "0a", enseigne: "Maison", salle: "Bureau", bytes: 12, url: "/api/models/0a" };

test("models are read, and what is none is left out", () => {
  const foreign = { ...MODEL, url: "https://elsewhere.example/0a" };
  expect(modelsOf([MODEL, { ...MODEL, bytes: "12" }, foreign, null])).toEqual([
    { id: "0a", site: "Maison", room: "Bureau", bytes: 12, url: "/api/models/0a" },
  ]);
});

test.each([
  ["a GLB", "glTF\x02\0\0\0\x10\0\0\0JSON", true],
  ["another version", "glTF\x01\0\0\0\x10\0\0\0JSON", false],
  ["a part of one", "glTF\x02\0\0\0\x20\0\0\0JSON", false],
  ["glTF as JSON", '{"asset":{"version":"2.0"}}', false],
  ["nothing", "", false],
])("%s is recognised", async (_, content, expected) => {
  expect(await looksLikeGlb(new Blob([content]))).toBe(expected);
});
