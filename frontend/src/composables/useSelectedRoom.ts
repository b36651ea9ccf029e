/** The chosen room, kept in the address so that it can be bookmarked, shared and passed between pages. */

import { onScopeDispose, type ShallowRef, shallowRef } from "vue";
import { type RoomKey, roomKey } from "../live/room-state";

export interface SelectedRoom {
  selected: ShallowRef<RoomKey | undefined>;
  select(key: RoomKey): void;
}

export function useSelectedRoom(): SelectedRoom {
  const selected = shallowRef(roomInAddress());

  function select(key: RoomKey): void {
    selected.value = key;
    history.replaceState(null, "", addressOf(key));
  }

  const follow = (): void => {
    selected.value = roomInAddress() ?? selected.value;
  };
  window.addEventListener("hashchange", follow);
  onScopeDispose(() => window.removeEventListener("hashchange", follow));
  return { selected, select };
}

/** The part of an address that names the room. */
export function addressOf(key: RoomKey): string {
  const [site, room] = JSON.parse(key) as [string, string];
  return `#${new URLSearchParams({ site, room })}`;
}

function roomInAddress(): RoomKey | undefined {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const site = parameters.get("site");
  const room = parameters.get("room");
  return site === null || room === null ? undefined : roomKey(site, room);
}
