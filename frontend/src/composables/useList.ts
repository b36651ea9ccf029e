/** A list of the server's, read when the page opens and again after every change. */

import { onMounted, type Ref, type ShallowRef, shallowRef } from "vue";
import { useSubmission } from "./useSubmission";

export interface List<Item> {
  /** Undefined until it was read. */
  items: Readonly<ShallowRef<readonly Item[] | undefined>>;
  failure: Readonly<Ref<string>>;
  reload(): Promise<void>;
}

export function useList<Item>(read: () => Promise<readonly Item[]>): List<Item> {
  const items = shallowRef<readonly Item[]>();
  const { failure, submit } = useSubmission();

  async function reload(): Promise<void> {
    await submit(async () => {
      items.value = await read();
    });
  }

  onMounted(reload);
  return { items, failure, reload };
}
