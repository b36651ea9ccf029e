/** One form on its way to the server: whether it is under way, and what the server had against it. */

import { computed, type Ref, ref, type ShallowRef, shallowRef } from "vue";
import { type FieldError, RequestError } from "../api/problem";
import { faultText, problemText } from "../i18n/problems";

export interface Submission {
  busy: Readonly<Ref<boolean>>;
  /** What is wrong with the whole; each field's own fault is told by `faultOf`. */
  failure: Readonly<Ref<string>>;
  error: Readonly<ShallowRef<RequestError | undefined>>;
  /** What the server has against a field, by its JSON pointer, or against something in it. */
  faultOf(pointer: string): string;
  /** Returns whether it was taken. */
  submit(task: () => Promise<void>): Promise<boolean>;
}

export function useSubmission(shownFields: readonly string[] = []): Submission {
  const busy = ref(false);
  const error = shallowRef<RequestError>();
  const unexpected = ref("");

  const failure = computed(() => {
    if (error.value === undefined) return unexpected.value;
    if (error.value.fields.length === 0) return problemText(error.value);
    return error.value.fields
      .filter((field) => !shownFields.some((pointer) => isWithin(field, pointer)))
      .map((field) => `${field.pointer}: ${faultText(field)}`)
      .join("; ");
  });

  async function submit(task: () => Promise<void>): Promise<boolean> {
    if (busy.value) return false;
    busy.value = true;
    error.value = undefined;
    unexpected.value = "";
    try {
      await task();
      return true;
    } catch (cause) {
      if (cause instanceof RequestError) error.value = cause;
      else unexpected.value = String(cause);
      return false;
    } finally {
      busy.value = false;
    }
  }

  function faultOf(pointer: string): string {
    const found = error.value?.fields.find((field) => isWithin(field, pointer));
    return found === undefined ? "" : faultText(found);
  }

  return { busy, failure, error, faultOf, submit };
}

function isWithin(field: FieldError, pointer: string): boolean {
  return field.pointer === pointer || field.pointer.startsWith(`${pointer}/`);
}
