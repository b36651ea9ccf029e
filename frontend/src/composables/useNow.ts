/** The server's time, ticking once a second for everything that shows an age or a countdown. */

import { onUnmounted, type Ref, ref } from "vue";
import { liveData } from "../session";

const TICK_MS = 1_000;

const nowMs = ref(liveData.nowMs());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

export function useNow(): Readonly<Ref<number>> {
  users += 1;
  nowMs.value = liveData.nowMs();
  timer ??= setInterval(() => {
    nowMs.value = liveData.nowMs();
  }, TICK_MS);
  onUnmounted(() => {
    users -= 1;
    if (users > 0) return;
    clearInterval(timer);
    timer = undefined;
  });
  return nowMs;
}
