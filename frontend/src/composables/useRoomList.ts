/** The rooms in the order and with the filter the reader chose, grouped by site. */

import { type ComputedRef, computed, type Ref, ref, shallowRef, watch } from "vue";
import type { RoomKey } from "../live/room-state";
import { liveData } from "../session";
import { useBuilding } from "./useBuilding";

export type RoomOrder = "name" | "worst";

export interface SiteRooms {
  name: string;
  roomKeys: readonly RoomKey[];
}

/** Cards that change places with every reading cannot be read. */
const REORDER_MS = 5_000;

export interface RoomList {
  filter: Ref<string>;
  order: Ref<RoomOrder>;
  sites: ComputedRef<readonly SiteRooms[]>;
  matches: ComputedRef<boolean>;
}

export function useRoomList(): RoomList {
  const { roomKeys, revision } = useBuilding();
  const filter = ref("");
  const order = ref<RoomOrder>("name");
  const scores = shallowRef<ReadonlyMap<RoomKey, number>>(new Map());
  let scoresTakenAtMs = 0;

  watch([revision, order, roomKeys], ([, chosen, keys], [, before, keysBefore]) => {
    if (chosen !== "worst") return;
    const due = Date.now() - scoresTakenAtMs >= REORDER_MS;
    if (!due && chosen === before && keys === keysBefore) return;
    scoresTakenAtMs = Date.now();
    scores.value = new Map(keys.map((key) => [key, liveData.room(key)?.score ?? Number.POSITIVE_INFINITY]));
  });

  const sites = computed(() => {
    const wanted = filter.value.trim().toLocaleLowerCase();
    const bySite = new Map<string, RoomKey[]>();
    for (const key of roomKeys.value) {
      const state = liveData.room(key);
      if (state === undefined) continue;
      if (!`${state.site} ${state.room}`.toLocaleLowerCase().includes(wanted)) continue;
      const keys = bySite.get(state.site) ?? [];
      keys.push(key);
      bySite.set(state.site, keys);
    }
    const known = scores.value;
    const scoreOf = (key: RoomKey): number => known.get(key) ?? Number.POSITIVE_INFINITY;
    return [...bySite].map(([name, keys]) => ({
      name,
      roomKeys:
        order.value === "worst"
          ? keys.toSorted((left, right) => compare(scoreOf(left), scoreOf(right)))
          : keys,
    }));
  });
  const matches = computed(() => sites.value.length > 0);

  return { filter, order, sites, matches };
}

function compare(left: number, right: number): number {
  return left === right ? 0 : left - right;
}
