/** What went wrong with a model, in words for the reader. */

import { RequestError } from "../api/problem";
import { text } from "../i18n";
import { faultText, problemText } from "../i18n/problems";

export function modelFailure(cause: unknown): string {
  if (!(cause instanceof RequestError)) return text("twin.model_failed", { reason: String(cause) });
  // A server that refuses a file does not read it to its end, and not every browser reads the reason.
  if (cause.failure !== "refused") return text("twin.model_interrupted");
  if (cause.fields.length === 0) return problemText(cause);
  return cause.fields.map((fault) => `${faultText(fault)} ${fault.pointer}`.trim()).join("; ");
}
