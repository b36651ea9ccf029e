/** The texts of the page in the reader's language. */

import { computed, ref } from "vue";
import { en } from "./en";
import { fr } from "./fr";

export type TextKey = keyof typeof en;
export type Dictionary = Readonly<Record<TextKey, string>>;

export const LANGUAGES = ["en", "fr"] as const;
export type Language = (typeof LANGUAGES)[number];

const DICTIONARIES: Readonly<Record<Language, Dictionary>> = { en, fr };
const STORAGE_KEY = "iaq-language";

export const language = ref<Language>(rememberedLanguage() ?? preferredLanguage(navigator.languages));
applyToDocument(language.value);

/** For numbers and times: the reader's own variety of the language, such as British English. */
export const locale = computed(
  () => navigator.languages.find((tag) => tag.toLowerCase().startsWith(language.value)) ?? language.value,
);

export function setLanguage(chosen: Language): void {
  language.value = chosen;
  applyToDocument(chosen);
  try {
    localStorage.setItem(STORAGE_KEY, chosen);
  } catch {
    // Storage may be forbidden; the choice then lasts for this visit only.
  }
}

export function preferredLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const found = LANGUAGES.find((candidate) => tag.toLowerCase().split("-")[0] === candidate);
    if (found !== undefined) return found;
  }
  return "en";
}

/** Text for the key, with `{name}` replaced by the parameter of that name. */
export function text(key: TextKey, parameters: Readonly<Record<string, string | number>> = {}): string {
  return DICTIONARIES[language.value][key].replace(/\{(\w+)\}/g, (placeholder, name: string) =>
    String(parameters[name] ?? placeholder),
  );
}

function rememberedLanguage(): Language | undefined {
  try {
    const remembered = localStorage.getItem(STORAGE_KEY);
    return LANGUAGES.find((candidate) => candidate === remembered);
  } catch {
    return undefined;
  }
}

function applyToDocument(chosen: Language): void {
  document.documentElement.lang = chosen;
}
