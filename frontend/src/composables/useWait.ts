/** A countdown in whole seconds, as a server asks for by `Retry-After`. */

import { onUnmounted, type Ref, ref } from "vue";

const TICK_MS = 1_000;

export interface Wait {
  secondsLeft: Readonly<Ref<number>>;
  wait(seconds: number): void;
}

export function useWait(): Wait {
  const secondsLeft = ref(0);
  let timer: ReturnType<typeof setInterval> | undefined;
  onUnmounted(() => clearInterval(timer));

  function wait(seconds: number): void {
    // By the clock: a sleeping page's ticks are late.
    const untilMs = Date.now() + seconds * 1000;
    const count = (): void => {
      secondsLeft.value = Math.max(0, Math.ceil((untilMs - Date.now()) / 1000));
      if (secondsLeft.value === 0) clearInterval(timer);
    };
    clearInterval(timer);
    timer = setInterval(count, TICK_MS);
    count();
  }

  return { secondsLeft, wait };
}
