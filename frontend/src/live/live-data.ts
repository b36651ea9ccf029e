/**
 * Everything the page knows about the building: the latest reading of each sensor, the rooms made of
 * them, and a bounded history per sensor. Changes are told once per frame, naming the rooms they touch.
 */

import type { Quantity } from "../domain/quantities";
import type { Reading } from "../domain/reading";
import { type FrameBatch, frameBatch } from "./frame-batch";
import { ReportingPeriod } from "./reporting-period";
import { type RoomKey, type RoomState, roomKey, roomStateOf } from "./room-state";
import { SeriesBuffer } from "./series-buffer";

export interface Changes {
  rooms: ReadonlySet<RoomKey>;
  /** Rooms came or went. */
  roomListChanged: boolean;
}

interface SensorEntry {
  latest: Reading | undefined;
  /** The last one told: a pushed reading need not name it. */
  dominant: { quantity: Quantity | null; atMs: number } | undefined;
  room: RoomKey;
  period: ReportingPeriod;
  series: SeriesBuffer;
}

const NAME_ORDER = new Intl.Collator(undefined, { numeric: true });

export class LiveData {
  private readonly sensors = new Map<string, SensorEntry>();
  private readonly sensorsOfRoom = new Map<RoomKey, Set<string>>();
  private readonly rooms = new Map<RoomKey, RoomState>();
  private readonly listeners = new Set<(changes: Changes) => void>();
  private readonly batch: FrameBatch = frameBatch(() => this.publish());
  private touched = new Set<RoomKey>();
  private roomListChanged = false;
  private paused = false;
  private clockOffsetMs = 0;

  /** True once any reading is known. */
  get hasData(): boolean {
    return this.sensors.size > 0;
  }

  get newestMs(): number | undefined {
    let newestMs: number | undefined;
    for (const { latest } of this.sensors.values()) {
      if (latest !== undefined && latest.atMs > (newestMs ?? Number.NEGATIVE_INFINITY))
        newestMs = latest.atMs;
    }
    return newestMs;
  }

  /** The server's time, which readings are stamped by: the browser's clock may be minutes off. */
  nowMs(): number {
    return Date.now() + this.clockOffsetMs;
  }

  alignClock(serverTimestamp: string): void {
    const serverMs = Date.parse(serverTimestamp);
    if (!Number.isNaN(serverMs)) this.clockOffsetMs = serverMs - Date.now();
  }

  apply(reading: Reading): void {
    const entry = this.entryOf(reading);
    entry.series.insert(reading.atMs, reading.measured);
    this.touch(entry.room);
    if (reading.late) return;
    noteDominant(entry, reading);
    const { latest } = entry;
    // An older one that is not late tells of another quantity, and has the newer state.
    if (latest !== undefined) entry.period.observe(Math.max(0, reading.atMs - latest.atMs));
    this.moveTo(entry, reading);
    entry.latest = { ...reading, atMs: Math.max(reading.atMs, latest?.atMs ?? reading.atMs) };
  }

  /** Past readings: they fill the history, and the latest only of sensors that have none yet. */
  applyHistory(readings: readonly Reading[]): void {
    const previousMs = new Map<string, number>();
    for (const reading of readings) {
      const entry = this.entryOf(reading);
      entry.period.observe(reading.atMs - (previousMs.get(reading.sensorId) ?? reading.atMs));
      entry.series.insert(reading.atMs, reading.measured);
      if (entry.latest === undefined || reading.atMs > entry.latest.atMs) entry.latest = reading;
      this.touch(entry.room);
      previousMs.set(reading.sensorId, reading.atMs);
    }
  }

  /** How often the server expects the sensor to report. */
  expectPeriod(sensorId: string, periodMs: number): void {
    const entry = this.sensors.get(sensorId);
    if (entry === undefined) return;
    entry.period.tell(periodMs);
    this.touch(entry.room);
  }

  /** In the order of their names, sites first. */
  roomKeys(): RoomKey[] {
    return [...this.rooms.values()]
      .sort(
        (left, right) =>
          NAME_ORDER.compare(left.site, right.site) || NAME_ORDER.compare(left.room, right.room),
      )
      .map((state) => state.key);
  }

  room(key: RoomKey): RoomState | undefined {
    return this.rooms.get(key);
  }

  sensorIdsOf(key: RoomKey): string[] {
    return [...(this.sensorsOfRoom.get(key) ?? [])].sort();
  }

  series(sensorId: string): SeriesBuffer | undefined {
    return this.sensors.get(sensorId)?.series;
  }

  periodMs(sensorId: string): number | undefined {
    return this.sensors.get(sensorId)?.period.periodMs;
  }

  get isPaused(): boolean {
    return this.paused;
  }

  /** Freezes what is shown; readings go on being collected. */
  setPaused(paused: boolean): void {
    this.paused = paused;
    if (!paused) this.batch.request();
  }

  subscribe(listener: (changes: Changes) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private publish(): void {
    if (this.paused) return;
    for (const key of this.touched) this.rebuild(key);
    const changes: Changes = { rooms: this.touched, roomListChanged: this.roomListChanged };
    this.touched = new Set();
    this.roomListChanged = false;
    for (const listener of this.listeners) listener(changes);
  }

  private rebuild(key: RoomKey): void {
    const sensors = this.sensorIdsOf(key).flatMap((sensorId) => {
      const entry = this.sensors.get(sensorId);
      return entry?.latest === undefined
        ? []
        : {
            reading: entry.latest,
            dominant: entry.dominant?.quantity ?? null,
            staleAfterMs: entry.period.staleAfterMs,
          };
    });
    const state = roomStateOf(key, sensors);
    if ((state !== undefined) !== this.rooms.has(key)) this.roomListChanged = true;
    if (state === undefined) this.rooms.delete(key);
    else this.rooms.set(key, state);
  }

  private entryOf(reading: Reading): SensorEntry {
    let entry = this.sensors.get(reading.sensorId);
    if (entry === undefined) {
      entry = {
        latest: undefined,
        dominant: undefined,
        room: roomKey(reading.site, reading.room),
        period: new ReportingPeriod(),
        series: new SeriesBuffer(),
      };
      this.sensors.set(reading.sensorId, entry);
      this.addToRoom(reading.sensorId, entry.room);
    }
    return entry;
  }

  /** A sensor that was carried elsewhere leaves the room it was in. */
  private moveTo(entry: SensorEntry, reading: Reading): void {
    const key = roomKey(reading.site, reading.room);
    if (key === entry.room) return;
    this.sensorsOfRoom.get(entry.room)?.delete(reading.sensorId);
    entry.room = key;
    this.addToRoom(reading.sensorId, key);
    this.touch(key);
  }

  private addToRoom(sensorId: string, key: RoomKey): void {
    const sensorIds = this.sensorsOfRoom.get(key) ?? new Set();
    sensorIds.add(sensorId);
    this.sensorsOfRoom.set(key, sensorIds);
  }

  private touch(key: RoomKey): void {
    this.touched.add(key);
    this.batch.request();
  }
}

function noteDominant(entry: SensorEntry, reading: Reading): void {
  if (reading.dominant === undefined || reading.atMs < (entry.dominant?.atMs ?? 0)) return;
  entry.dominant = { quantity: reading.dominant, atMs: reading.atMs };
}
