import { beforeEach, expect, test, vi } from "vitest";
import type { Reading } from "../domain/reading";
import { type Changes, LiveData } from "./live-data";
import { isStale, roomKey } from "./room-state";

const BUREAU = roomKey("Maison", "Bureau");
const START_MS = Date.UTC(2025, 10, 19, 10);

let data: LiveData;
let published: Changes[];

function reading(changes: Partial<Reading> = {}): Reading {
  return {
    sensorId: "bureau1",
    site: "Maison",
    room: "Bureau",
    atMs: START_MS,
    values: { co2: 645 },
    measured: changes.values ?? { co2: 645 },
    score: 81,
    level: "good",
    dominant: undefined,
    late: false,
    ...changes,
  };
}

function drawFrame(): void {
  vi.advanceTimersToNextFrame();
}

beforeEach(() => {
  vi.useFakeTimers({ now: START_MS });
  data = new LiveData();
  published = [];
  data.subscribe((changes) => published.push(changes));
});

test("any number of readings within a frame is told once", () => {
  for (let second = 0; second < 100; second += 1) data.apply(reading({ atMs: START_MS + second }));
  expect(published).toHaveLength(0);
  drawFrame();
  expect(published).toEqual([{ rooms: new Set([BUREAU]), roomListChanged: true }]);
  expect(data.room(BUREAU)?.atMs).toBe(START_MS + 99);
});

test("the room list changes only when a room comes or goes", () => {
  data.apply(reading());
  drawFrame();
  data.apply(reading({ atMs: START_MS + 1 }));
  drawFrame();
  expect(published.map(({ roomListChanged }) => roomListChanged)).toEqual([true, false]);
});

test("a late reading goes to the history and never becomes the latest", () => {
  data.apply(reading());
  data.apply(
    reading({ late: true, atMs: START_MS - 5, values: { co2: 9_000 }, score: 1, level: "very_poor" }),
  );
  drawFrame();
  expect(data.room(BUREAU)).toMatchObject({ values: { co2: 645 }, score: 81, atMs: START_MS });
  expect(data.series("bureau1")?.length).toBe(2);
});

test("an older reading that is not late has the newer state, and leaves the time alone", () => {
  data.apply(reading());
  const state = { co2: 645, humidity: 40 };
  data.apply(reading({ atMs: START_MS - 5, values: state, measured: { humidity: 40 } }));
  drawFrame();
  expect(data.room(BUREAU)).toMatchObject({ values: state, atMs: START_MS });
});

test("a reading of the same time takes the place of the one before", () => {
  data.apply(reading({ values: { co2: 645, pm25: 12 } }));
  data.apply(reading({ values: { pm25: 12 }, measured: {} }));
  drawFrame();
  expect(data.room(BUREAU)?.values).toEqual({ pm25: 12 });
  expect(data.series("bureau1")?.length).toBe(1);
});

test("history fills the series and leaves the latest alone", () => {
  data.apply(reading());
  data.applyHistory([
    reading({ atMs: START_MS - 2_000, values: { co2: 1 } }),
    reading({ atMs: START_MS - 1_000 }),
  ]);
  drawFrame();
  expect(data.series("bureau1")?.length).toBe(3);
  expect(data.room(BUREAU)?.values.co2).toBe(645);
});

test("a room is as good as its worst sensor, and shows the newest of each value", () => {
  data.apply(
    reading({ sensorId: "a", score: 40, level: "poor", dominant: "co2", values: { co2: 1_500, tvoc: 9 } }),
  );
  data.apply(
    reading({ sensorId: "b", atMs: START_MS + 1, score: 95, level: "excellent", values: { tvoc: 3 } }),
  );
  drawFrame();
  expect(data.room(BUREAU)).toMatchObject({
    score: 40,
    level: "poor",
    dominant: "co2",
    sensorIds: ["a", "b"],
    values: { co2: 1_500, tvoc: 3 },
  });
});

test("a sensor that fell silent no longer speaks for its room", () => {
  data.apply(reading({ sensorId: "a", score: 10, level: "very_poor" }));
  data.apply(reading({ sensorId: "b", atMs: START_MS + 120_000, score: 95, level: "excellent" }));
  drawFrame();
  expect(data.room(BUREAU)).toMatchObject({ score: 95 });
});

test("a sensor carried to another room leaves the first", () => {
  data.apply(reading());
  drawFrame();
  data.apply(reading({ room: "Salon", atMs: START_MS + 1 }));
  drawFrame();
  expect(data.roomKeys()).toEqual([roomKey("Maison", "Salon")]);
  expect(published.at(-1)?.roomListChanged).toBe(true);
});

test("the dominant pollutant stays known until another is told", () => {
  data.apply(reading({ dominant: "pm25" }));
  data.apply(reading({ atMs: START_MS + 2_000 }));
  drawFrame();
  expect(data.room(BUREAU)?.dominant).toBe("pm25");
  // Looked up over HTTP, a little behind what was pushed meanwhile.
  data.apply(reading({ atMs: START_MS + 1_000, dominant: "co2" }));
  drawFrame();
  expect(data.room(BUREAU)?.dominant).toBe("co2");
});

test("paused, nothing is told, and nothing is lost", () => {
  data.setPaused(true);
  data.apply(reading());
  drawFrame();
  expect(published).toHaveLength(0);
  data.setPaused(false);
  drawFrame();
  expect(published).toHaveLength(1);
  expect(data.series("bureau1")?.length).toBe(1);
});

test("rooms are ordered as people count", () => {
  for (const room of ["Salle 10", "Salle 9"]) data.apply(reading({ room, sensorId: room }));
  data.apply(reading({ site: "Annexe", sensorId: "annexe" }));
  drawFrame();
  expect(data.roomKeys()).toEqual([
    roomKey("Annexe", "Bureau"),
    roomKey("Maison", "Salle 9"),
    roomKey("Maison", "Salle 10"),
  ]);
});

test("ages are counted on the server's clock", () => {
  data.alignClock(new Date(START_MS + 3_600_000).toISOString());
  expect(data.nowMs()).toBe(START_MS + 3_600_000);
  data.alignClock("nonsense");
  expect(data.nowMs()).toBe(START_MS + 3_600_000);
});

test.each([
  ["unknown, a minute", [0], 60_000],
  ["one second, a grace of 15 s", [0, 1, 2, 3], 15_000],
  ["ten minutes, two of them", [0, 600, 1_200, 1_800], 1_200_000],
  ["a minute with one outage, two of them", [0, 60, 120, 9_000, 9_060, 9_120], 120_000],
])("staleness: period %s", (_, secondsAt, staleAfterMs) => {
  for (const second of secondsAt) data.apply(reading({ atMs: START_MS + second * 1_000 }));
  drawFrame();
  const state = data.room(BUREAU);
  if (state === undefined) throw new Error("the room is missing");
  expect(isStale(state, state.atMs + staleAfterMs)).toBe(false);
  expect(isStale(state, state.atMs + staleAfterMs + 1)).toBe(true);
});

test("until enough was seen, a sensor is given the period the server knows", () => {
  data.apply(reading({ atMs: START_MS - 500_000 }));
  data.expectPeriod("bureau1", 300_000);
  data.expectPeriod("nobody", 1);
  drawFrame();
  const state = data.room(BUREAU);
  if (state === undefined) throw new Error("the room is missing");
  expect(isStale(state, START_MS)).toBe(false);
  expect(isStale(state, START_MS + 100_001)).toBe(true);
});
