/** What the server has against a request, in the reader's language as far as its code is known. */

import type { FieldError, RequestError } from "../api/problem";
import { en } from "./en";
import { type TextKey, text } from "./index";

export function faultText({ code, detail }: FieldError): string {
  const key = `fault.${code}`;
  return isKey(key) ? text(key) : detail;
}

export function problemText(error: RequestError): string {
  if (error.failure === "network" || error.failure === "timeout") return text("form.unreachable");
  const key = `problem.${error.code}`;
  return isKey(key) ? text(key, { seconds: error.retryAfterSeconds ?? 1 }) : error.message;
}

function isKey(key: string): key is TextKey {
  return Object.hasOwn(en, key);
}
