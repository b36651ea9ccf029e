import { beforeEach, expect, test } from "vitest";
import type { ServerMessage } from "./protocol";
import { StreamPosition } from "./stream-position";

let position: StreamPosition;

function take(type: string, id?: string): boolean {
  return position.take({ type, ...(id === undefined ? {} : { id }) } as ServerMessage);
}

beforeEach(() => {
  position = new StreamPosition();
});

test("the last message of the stream is where to go on", () => {
  expect(position.since).toBeUndefined();
  for (const id of ["9", "10", "a"]) expect(take("measurement", id)).toBe(true);
  expect(position.since).toBe("a");
});

test.each(["connection", "pong", "subscribed", "error", "stats_update", "conflated"])(
  "the id of a %s message is no place in the stream",
  (type) => {
    take("measurement", "1");
    expect(take(type, "2")).toBe(true);
    expect(position.since).toBe("1");
  },
);

test("a snapshot says where it stands", () => {
  position.resume();
  take("subscribed");
  take("snapshot", "5");
  expect(position.since).toBe("5");
});

test("before the answer nothing moves the position, so that a drop leaves no gap", () => {
  take("measurement", "1");
  position.resume();
  expect(take("measurement", "4")).toBe(true);
  expect(position.since).toBe("1");
});

test("what came ahead of the answer is not taken again from the replay", () => {
  take("measurement", "1");
  position.resume();
  take("measurement", "4");
  take("subscribed");
  expect(["2", "3", "4", "5"].map((id) => take("measurement", id))).toEqual([true, true, false, true]);
  expect(position.since).toBe("5");
});

test("what the connection before has brought is not taken again from the next one's beginning", () => {
  for (const id of ["1", "2", "3"]) take("measurement", id);
  position.resume();
  expect(["2", "3", "4"].map((id) => take("measurement", id))).toEqual([false, false, true]);
  take("subscribed");
  expect(["4", "5"].map((id) => take("measurement", id))).toEqual([false, true]);
  expect(position.since).toBe("5");
});

test("what came ahead is remembered over a drop in the middle of the replay", () => {
  take("measurement", "1");
  position.resume();
  take("measurement", "4");
  take("subscribed");
  take("measurement", "2");
  position.resume();
  take("subscribed");
  expect(["3", "4"].map((id) => take("measurement", id))).toEqual([true, false]);
});

test("what is remembered is bounded", () => {
  position.resume();
  for (let index = 0; index < 5_000; index += 1) take("measurement", String(index));
  take("subscribed");
  expect(take("measurement", "0")).toBe(true);
  expect(take("measurement", "4999")).toBe(false);
});
