/** The reader's identity as Vue sees it. */

import { type ShallowRef, shallowRef } from "vue";
import type { Identity } from "../access/identity";
import { session } from "../access/page-session";

const identity = shallowRef<Identity | undefined>(session.identity);
session.onChange((known) => {
  identity.value = known;
});

export function useSession(): Readonly<ShallowRef<Identity | undefined>> {
  return identity;
}
