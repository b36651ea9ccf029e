/** The building as Vue sees it: one shallow reference per room, so a reading redraws its own card only. */

import { type ShallowRef, shallowRef } from "vue";
import type { ConnectionState } from "../live/connection-state";
import type { RoomKey, RoomState } from "../live/room-state";
import { liveData, readingFeed } from "../session";

type RoomReference = ShallowRef<RoomState | undefined>;

const roomKeys = shallowRef<readonly RoomKey[]>([]);
const rooms = new Map<RoomKey, RoomReference>();
const connection = shallowRef<ConnectionState>(readingFeed.state());
/** Grows with every batch of changes, for what depends on all rooms at once. */
const revision = shallowRef(0);

liveData.subscribe((changes) => {
  for (const key of changes.rooms) {
    const state = liveData.room(key);
    const reference = rooms.get(key);
    if (reference !== undefined) reference.value = state;
    if (state === undefined) rooms.delete(key);
  }
  if (changes.roomListChanged) roomKeys.value = liveData.roomKeys();
  revision.value += 1;
});
readingFeed.onState((state) => {
  connection.value = state;
});

export interface Building {
  roomKeys: ShallowRef<readonly RoomKey[]>;
  connection: ShallowRef<ConnectionState>;
  revision: ShallowRef<number>;
  roomOf(key: RoomKey): RoomReference;
}

export function useBuilding(): Building {
  return { roomKeys, connection, revision, roomOf };
}

function roomOf(key: RoomKey): RoomReference {
  let reference = rooms.get(key);
  if (reference === undefined) {
    reference = shallowRef(liveData.room(key));
    rooms.set(key, reference);
  }
  return reference;
}
