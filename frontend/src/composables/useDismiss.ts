/** Tells when something that is open for the moment is done with: a click elsewhere, or the Escape key. */

import { onMounted, onUnmounted, type ShallowRef } from "vue";

export function useDismiss(
  element: Readonly<ShallowRef<HTMLElement | null>>,
  dismiss: (byKey: boolean) => void,
): void {
  const onPointer = (event: PointerEvent): void => {
    if (event.target instanceof Node && element.value?.contains(event.target)) return;
    dismiss(false);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape") dismiss(true);
  };
  onMounted(() => {
    document.addEventListener("pointerdown", onPointer);
    document.addEventListener("keydown", onKey);
  });
  onUnmounted(() => {
    document.removeEventListener("pointerdown", onPointer);
    document.removeEventListener("keydown", onKey);
  });
}
