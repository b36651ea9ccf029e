/** What is wrong with a form, by field. */

import { RequestError } from "../api/problem";

export interface Faults {
  /** What is wrong with the whole of it; empty when nothing is. */
  all: string;
  /** By the name of the field. */
  fields: Readonly<Record<string, string>>;
}

export const NO_FAULTS: Faults = { all: "", fields: {} };

export function faultsOf(cause: unknown): Faults {
  if (!(cause instanceof RequestError)) return { all: String(cause), fields: {} };
  const fields = Object.fromEntries(
    cause.fields.map(({ pointer, detail }) => [pointer.split("/")[1] ?? "", detail]),
  );
  return { all: cause.fields.length === 0 ? cause.message : "", fields };
}
