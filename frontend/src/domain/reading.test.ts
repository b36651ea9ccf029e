import { expect, test } from "vitest";
import { readingFromRecord, readingsFromRecords } from "./reading";

const RECORD = {
  timestamp: "2025-11-19T10:05:00.250Z",
  sensor_id: "bureau1",
  enseigne: "Maison",
  salle: "Bureau",
  co2: 645,
  pm25: null,
  global_score: 81,
  global_level: "good",
  dominant: "co2",
};

test("a record becomes a reading, with null values absent", () => {
  expect(readingFromRecord(RECORD)).toEqual({
    sensorId: "bureau1",
    site: "Maison",
    room: "Bureau",
    atMs: Date.UTC(2025, 10, 19, 10, 5, 0, 250),
    values: { co2: 645 },
    measured: { co2: 645 },
    score: 81,
    level: "good",
    dominant: "co2",
    late: false,
  });
});

test("nobody present and nobody counted look alike on the wire, so neither is shown", () => {
  expect(readingFromRecord({ ...RECORD, occupants: 0 })?.values.occupants).toBeUndefined();
  expect(readingFromRecord({ ...RECORD, occupants: 3 })?.values.occupants).toBe(3);
});

test("a message has the state in its flat keys, and what was measured now in the sender's spelling", () => {
  const reading = readingFromRecord({ ...RECORD, pm25: 3, values: { PM25: 3, Mood: 1 } });
  expect(reading?.values).toEqual({ co2: 645, pm25: 3 });
  expect(reading?.measured).toEqual({ pm25: 3 });
});

test("what a record has from before was not measured at its time", () => {
  const reading = readingFromRecord({ ...RECORD, pm25: 3, measured_at: { co2: "2025-11-19T10:00:00Z" } });
  expect(reading?.values).toEqual({ co2: 645, pm25: 3 });
  expect(reading?.measured).toEqual({ pm25: 3 });
});

test("a level is derived from the score when none is known by that name", () => {
  expect(readingFromRecord({ ...RECORD, global_level: "splendid", global_score: 49.9 })?.level).toBe("poor");
  expect(readingFromRecord({ ...RECORD, global_level: "toString", global_score: 90 })?.level).toBe(
    "excellent",
  );
  expect(readingFromRecord({ ...RECORD, global_level: null, global_score: null })?.level).toBeNull();
});

test("a message that does not say leaves the dominant pollutant open", () => {
  expect(readingFromRecord({ ...RECORD, dominant: undefined })?.dominant).toBeUndefined();
  expect(readingFromRecord({ ...RECORD, dominant: null })?.dominant).toBeNull();
  expect(readingFromRecord({ ...RECORD, dominant: "phlogiston" })?.dominant).toBeNull();
});

test("bad records are left out, good ones kept", () => {
  expect(readingsFromRecords([null, 7, {}, { ...RECORD, sensor_id: 1 }, RECORD])).toHaveLength(1);
});
