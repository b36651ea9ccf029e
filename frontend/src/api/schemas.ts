/** The shapes of the API's own document (docs/openapi.json), from which `npm run types` makes `document.d.ts`. */

import { isJsonObject } from "../domain/reading";
import type { components } from "./document";

export type Schemas = components["schemas"];

type Members<Shape> = Shape extends unknown ? keyof Shape : never;

/** The members of a shape, none of which has been looked at yet. */
export type Unchecked<Name extends keyof Schemas> = { readonly [Member in Members<Schemas[Name]>]?: unknown };

/** An object as one of a shape, so that only members of that shape can be named; undefined when it is no object. */
export function unchecked<Name extends keyof Schemas>(value: unknown): Unchecked<Name> | undefined {
  return isJsonObject(value) ? (value as Unchecked<Name>) : undefined;
}
