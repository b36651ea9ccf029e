import { expect, test } from "vitest";
import { parseServerMessage } from "./protocol";

const MEASUREMENT = {
  type: "measurement",
  timestamp: "2025-11-19T10:05:00Z",
  sensor_id: "bureau1",
  enseigne: "Maison",
  salle: "Bureau",
};

test.each([
  ["nothing", ""],
  ["half a document", '{"type":"meas'],
  ["a list", "[]"],
  ["null", "null"],
  ["a number", "7"],
  ["a binary frame", new ArrayBuffer(4)],
  ["neither type nor topic", '{"co2":1}'],
  ["a type that is no text", '{"type":7}'],
  ["a measurement without sensor", JSON.stringify({ ...MEASUREMENT, sensor_id: undefined })],
  ["a measurement with a number for a room", JSON.stringify({ ...MEASUREMENT, salle: 3 })],
  ["a measurement at no time", JSON.stringify({ ...MEASUREMENT, timestamp: "yesterday" })],
  ["a snapshot without a list", '{"type":"snapshot","topic":"measurements","data":{}}'],
  ["subscribed to nothing", '{"type":"subscribed"}'],
  ["an error without code", '{"type":"error"}'],
])("%s is malformed", (_, text) => {
  expect(parseServerMessage(text).kind).toBe("malformed");
});

test("an unknown type is no fault", () => {
  expect(parseServerMessage('{"type":"from_the_future"}')).toEqual({ kind: "unknown" });
});

test("a good message is passed on as it came", () => {
  expect(parseServerMessage(JSON.stringify(MEASUREMENT))).toEqual({ kind: "message", message: MEASUREMENT });
});

test("a name from Object's prototype is no known type", () => {
  expect(parseServerMessage('{"type":"constructor"}')).toEqual({ kind: "unknown" });
});
