/** One reading as the pages use it, and the only way to make one out of what the server sent. */

import { isLevel, type Level, levelOfScore } from "./levels";
import { isQuantity, QUANTITIES, type Quantity, type QuantityValues } from "./quantities";

export interface Reading {
  sensorId: string;
  site: string;
  room: string;
  atMs: number;
  /** The state of the sensor: the newest value of each quantity. */
  values: QuantityValues;
  /** What was measured at `atMs`. */
  measured: QuantityValues;
  score: number | null;
  level: Level | null;
  /** Undefined when the message did not say; null when the server knows of none. */
  dominant: Quantity | null | undefined;
  /** Older than the newest reading of its sensor when the server received it. */
  late: boolean;
}

type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Undefined when the record lacks what identifies a reading. */
export function readingFromRecord(record: unknown): Reading | undefined {
  if (!isJsonObject(record)) return undefined;
  const { sensor_id: sensorId, enseigne: site, salle: room, timestamp } = record;
  if (typeof sensorId !== "string" || typeof site !== "string" || typeof room !== "string") return undefined;
  const atMs = typeof timestamp === "string" ? Date.parse(timestamp) : Number.NaN;
  if (Number.isNaN(atMs)) return undefined;

  const score = finiteNumber(record.global_score) ?? null;
  return {
    sensorId,
    site,
    room,
    atMs,
    values: stateValues(record),
    measured: measuredValues(record),
    score,
    level: isLevel(record.global_level) ? record.global_level : score === null ? null : levelOfScore(score),
    dominant: dominantOf(record.dominant),
    late: record.late === true,
  };
}

/** Records that are no readings are left out: one bad record must not blank the page. */
export function readingsFromRecords(records: readonly unknown[]): Reading[] {
  return records.flatMap((record) => readingFromRecord(record) ?? []);
}

function stateValues(record: JsonObject): QuantityValues {
  const values: QuantityValues = {};
  for (const quantity of QUANTITIES) {
    const number = finiteNumber(record[quantity]);
    if (number !== undefined) values[quantity] = number;
  }
  // The server writes 0 also where nobody is counted, so 0 tells nothing.
  if (values.occupants === 0) delete values.occupants;
  return values;
}

/** A message says it in `values`; what a record has from before is named in `measured_at`. */
function measuredValues(record: JsonObject): QuantityValues {
  if (!isJsonObject(record.values)) {
    const measured = stateValues(record);
    const before = isJsonObject(record.measured_at) ? record.measured_at : {};
    for (const quantity of QUANTITIES) if (quantity in before) delete measured[quantity];
    return measured;
  }
  const measured: QuantityValues = {};
  for (const [name, value] of Object.entries(record.values)) {
    const quantity = name.toLowerCase();
    const number = finiteNumber(value);
    if (isQuantity(quantity) && number !== undefined) measured[quantity] = number;
  }
  if (measured.occupants === 0) delete measured.occupants;
  return measured;
}

function dominantOf(value: unknown): Quantity | null | undefined {
  if (value === undefined) return undefined;
  return isQuantity(value) ? value : null;
}

function finiteNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
