/** Who the server takes the reader for, and what that person may do. */

import { type Schemas, unchecked } from "../api/schemas";

export const ROLES = ["viewer", "operator", "admin"] as const satisfies readonly Schemas["Role"][];
export type Role = Schemas["Role"];

export interface Identity {
  /** `anyone` is a reader of a server that asks nobody to log in. */
  kind: "anyone" | "person" | "device";
  name: string | null;
  role: Role | null;
  /** Null means all of them. */
  sites: readonly string[] | null;
}

/** Undefined when the answer names nobody; everything about login then stays hidden. */
export function identityOf(answer: unknown): Identity | undefined {
  const me = unchecked<"Me">(answer);
  if (me === undefined) return undefined;
  const { kind = "person", name, role } = me;
  if (kind !== "anyone" && kind !== "person" && kind !== "device") return undefined;
  return {
    kind,
    name: typeof name === "string" ? name : null,
    role: isRole(role) ? role : null,
    sites: textsOf(me.sites),
  };
}

export function isRole(value: unknown): value is Role {
  return ROLES.some((role) => role === value);
}

/** Null unless it is a list; what is no text in it is left out. */
export function textsOf(value: unknown): string[] | null {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : null;
}

/** Whether the reader's role is at least this one. */
export function hasRole(identity: Identity | undefined, needed: Role): boolean {
  const role = identity?.role;
  return role != null && ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
