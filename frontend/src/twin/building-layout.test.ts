import { expect, test } from "vitest";
import { type RoomKey, roomKey } from "../live/room-state";
import { layOut, ROOM_DEPTH_M, ROOM_WIDTH_M } from "./building-layout";

function building(roomsPerSite: readonly number[]): { key: RoomKey; site: string }[] {
  return roomsPerSite.flatMap((count, site) =>
    Array.from({ length: count }, (_, room) => ({
      key: roomKey(`Site ${site}`, `${room}`),
      site: `Site ${site}`,
    })),
  );
}

test.each([[[1]], [[3]], [[7, 1, 12]], [[200]], [Array(40).fill(5)]])(
  "no two rooms of %o overlap",
  (counts) => {
    const { rooms } = layOut(building(counts));
    rooms.forEach((one, index) => {
      for (const other of rooms.slice(index + 1)) {
        const apart =
          Math.abs(one.xM - other.xM) >= ROOM_WIDTH_M || Math.abs(one.zM - other.zM) >= ROOM_DEPTH_M;
        expect(apart, `${one.key} and ${other.key}`).toBe(true);
      }
    });
  },
);

test("rooms stand on their site's floor and the whole is centred", () => {
  const { rooms, sites, widthM, depthM } = layOut(building([4, 9]));
  expect(sites.map(({ name }) => name)).toEqual(["Site 0", "Site 1"]);
  for (const { xM, zM } of rooms) {
    expect(Math.abs(xM) + ROOM_WIDTH_M / 2).toBeLessThanOrEqual(widthM / 2);
    expect(Math.abs(zM) + ROOM_DEPTH_M / 2).toBeLessThanOrEqual(depthM / 2);
  }
});

test("an empty building has no size", () => {
  expect(layOut([])).toEqual({ rooms: [], sites: [], widthM: 0, depthM: 0 });
});
