/** The last hour of one room as charts: loaded once, then following the live readings. */

import { onScopeDispose, type ShallowRef, shallowRef, watch } from "vue";
import { type ChartLine, chartLine } from "../charts/chart-lines";
import { HISTORY_WINDOW_MS } from "../charts/charts";
import type { ChartContent } from "../charts/time-series-chart";
import { MAIN_QUANTITIES, type MainQuantity } from "../domain/quantities";
import type { RoomState } from "../live/room-state";
import { liveData, readingFeed } from "../session";
import { useBuilding } from "./useBuilding";

/** With no readings the time axis still moves on. */
const AXIS_STEP_MS = 5_000;

export interface RoomCharts {
  lines: ShallowRef<Readonly<Record<MainQuantity, readonly ChartLine[]>>>;
  range: ShallowRef<Omit<ChartContent, "lines">>;
  loading: ShallowRef<boolean>;
  failure: ShallowRef<string | undefined>;
  reload(): void;
}

export function useRoomCharts(room: () => RoomState | undefined): RoomCharts {
  const { connection } = useBuilding();
  const lines = shallowRef(emptyLines());
  const range = shallowRef(currentRange());
  const loading = shallowRef(false);
  const failure = shallowRef<string>();
  let request: AbortController | undefined;

  function redraw(): void {
    const state = room();
    range.value = currentRange();
    lines.value = state === undefined ? emptyLines() : linesOf(state, range.value.fromMs);
  }

  async function load(): Promise<void> {
    request?.abort();
    const state = room();
    if (state === undefined) return;
    const current = new AbortController();
    request = current;
    loading.value = true;
    failure.value = undefined;
    try {
      await readingFeed.showRoom(state.site, state.room, current.signal);
    } catch (cause) {
      if (!current.signal.aborted) failure.value = cause instanceof Error ? cause.message : String(cause);
    }
    if (current.signal.aborted) return;
    loading.value = false;
    redraw();
  }

  watch(
    () => room()?.key,
    () => {
      redraw();
      void load();
    },
    { immediate: true },
  );
  // A history that could not be had while the server was away is asked for once it is back.
  watch(
    () => connection.value.serverReached,
    (reached) => {
      if (reached && failure.value !== undefined) void load();
    },
  );

  const unsubscribe = liveData.subscribe((changes) => {
    const key = room()?.key;
    if (key !== undefined && changes.rooms.has(key)) redraw();
  });
  const axisTimer = setInterval(() => {
    if (!document.hidden && !liveData.isPaused) redraw();
  }, AXIS_STEP_MS);
  onScopeDispose(() => {
    request?.abort();
    unsubscribe();
    clearInterval(axisTimer);
  });

  return { lines, range, loading, failure, reload: () => void load() };
}

function currentRange(): Omit<ChartContent, "lines"> {
  const untilMs = liveData.nowMs();
  return { fromMs: untilMs - HISTORY_WINDOW_MS, untilMs };
}

function emptyLines(): Record<MainQuantity, ChartLine[]> {
  return { co2: [], pm25: [], tvoc: [], temperature: [], humidity: [] };
}

function linesOf(state: RoomState, fromMs: number): Record<MainQuantity, ChartLine[]> {
  const lines = emptyLines();
  for (const sensorId of state.sensorIds) {
    const columns = liveData.series(sensorId)?.columnsSince(fromMs);
    if (columns === undefined) continue;
    for (const quantity of MAIN_QUANTITIES) {
      const line = chartLine(sensorId, quantity, columns);
      if (line.timesMs.length > 0) lines[quantity].push(line);
    }
  }
  return lines;
}
