import { afterEach, expect, test } from "vitest";
import { QUANTITIES } from "../domain/quantities";
import { en } from "./en";
import { fr } from "./fr";
import { language, preferredLanguage, setLanguage, type TextKey, text } from "./index";

const KEYS = Object.keys(en) as TextKey[];

afterEach(() => setLanguage("en"));

test("both languages have the same keys", () => {
  expect(Object.keys(fr).sort()).toEqual([...KEYS].sort());
});

test.each(KEYS)("%s has the same parameters in both languages and is not empty", (key) => {
  const parameters = (value: string): string[] => (value.match(/\{\w+\}/g) ?? []).sort();
  expect(parameters(fr[key])).toEqual(parameters(en[key]));
  expect(en[key].trim()).not.toBe("");
  expect(fr[key].trim()).not.toBe("");
});

test("every quantity has a name", () => {
  for (const quantity of QUANTITIES) expect(KEYS).toContain(`quantity.${quantity}`);
});

test.each([
  [["fr-CA", "en"], "fr"],
  [["de", "en-GB", "fr"], "en"],
  [["ja"], "en"],
  [[], "en"],
])("of %o the page speaks %s", (wanted, expected) => {
  expect(preferredLanguage(wanted)).toBe(expected);
});

test("the chosen language is remembered and told to the document", () => {
  setLanguage("fr");
  expect(language.value).toBe("fr");
  expect(localStorage.getItem("iaq-language")).toBe("fr");
  expect(document.documentElement.lang).toBe("fr");
  expect(text("connection.attempt", { attempt: 3 })).toBe("Tentative 3");
});

test("a parameter's text is put in as it is", () => {
  expect(text("room.sensors", { sensors: "{sensors} $& <b>" })).toBe("Sensors: {sensors} $& <b>");
});
