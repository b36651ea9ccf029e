/** What is shown of a room, made out of the latest readings of its sensors. */

import type { Level } from "../domain/levels";
import type { Quantity, QuantityValues } from "../domain/quantities";
import type { Reading } from "../domain/reading";

/** Names a room within the building; made by `roomKey` only. */
export type RoomKey = string & { readonly roomKey: unique symbol };

export interface SensorState {
  reading: Reading;
  dominant: Quantity | null;
  staleAfterMs: number;
}

export interface RoomState {
  key: RoomKey;
  site: string;
  room: string;
  sensorIds: readonly string[];
  values: QuantityValues;
  score: number | null;
  level: Level | null;
  dominant: Quantity | null;
  /** Time of the room's newest reading. */
  atMs: number;
  staleAfterMs: number;
}

export function roomKey(site: string, room: string): RoomKey {
  return JSON.stringify([site, room]) as RoomKey;
}

/**
 * The newest value of each quantity, and the score of the sensor that is worst off: a room is as good
 * as its worst corner. Sensors that fell silent long before the newest reading are left out.
 */
export function roomStateOf(key: RoomKey, sensors: readonly SensorState[]): RoomState | undefined {
  const oldestFirst = [...sensors].sort((left, right) => left.reading.atMs - right.reading.atMs);
  const newest = oldestFirst.at(-1);
  if (newest === undefined) return undefined;

  const speaking = oldestFirst.filter(
    ({ reading, staleAfterMs }) => newest.reading.atMs - reading.atMs <= staleAfterMs,
  );
  const values: QuantityValues = Object.assign({}, ...speaking.map(({ reading }) => reading.values));
  const worst = speaking.filter(({ reading }) => reading.score !== null).sort(byScore)[0];

  return {
    key,
    site: newest.reading.site,
    room: newest.reading.room,
    sensorIds: sensors.map(({ reading }) => reading.sensorId).sort(),
    values,
    score: worst?.reading.score ?? null,
    level: worst?.reading.level ?? null,
    dominant: worst?.dominant ?? null,
    atMs: newest.reading.atMs,
    staleAfterMs: newest.staleAfterMs,
  };
}

export function isStale(state: Pick<RoomState, "atMs" | "staleAfterMs">, nowMs: number): boolean {
  return nowMs - state.atMs > state.staleAfterMs;
}

function byScore(left: SensorState, right: SensorState): number {
  return (left.reading.score ?? 0) - (right.reading.score ?? 0);
}
