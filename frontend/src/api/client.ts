/** The calls the pages make, typed and with a time limit. */

import type { Credentials } from "../access/credentials";
import { type Reading, readingsFromRecords } from "../domain/reading";
import { jsonArray, request } from "./request";
import { unchecked } from "./schemas";

export interface SensorPeriod {
  sensorId: string;
  periodMs: number;
}

export interface HistoryQuery {
  site: string;
  room: string;
  startMs: number;
}

export class ApiClient {
  private latestTag: string | undefined;

  constructor(private readonly credentials?: Credentials) {}

  /** The latest reading of each sensor, or undefined when nothing changed since the last call. */
  async latest(signal?: AbortSignal): Promise<Reading[] | undefined> {
    const headers: Record<string, string> =
      this.latestTag === undefined ? {} : { "If-None-Match": this.latestTag };
    const response = await request("/api/latest", this.credentials, { headers, signal });
    if (response.status === 304) return undefined;
    const readings = readingsFromRecords(await jsonArray(response));
    this.latestTag = response.headers.get("etag") ?? undefined;
    return readings;
  }

  /** Sensors that reported too seldom for a period to be known are left out. */
  async sensorPeriods(signal?: AbortSignal): Promise<SensorPeriod[]> {
    const sensors = await jsonArray(await request("/api/sensors", this.credentials, { signal }));
    return sensors.flatMap((sensor) => {
      const { sensor_id: sensorId, expected_period_s: periodSeconds } = unchecked<"Sensor">(sensor) ?? {};
      return typeof sensorId === "string" && typeof periodSeconds === "number" && periodSeconds > 0
        ? { sensorId, periodMs: periodSeconds * 1000 }
        : [];
    });
  }

  async history(query: HistoryQuery, signal?: AbortSignal): Promise<Reading[]> {
    const parameters = new URLSearchParams({
      enseigne: query.site,
      salle: query.room,
      start: new Date(query.startMs).toISOString(),
    });
    const path = `/api/iaq/data?${parameters}`;
    return readingsFromRecords(await jsonArray(await request(path, this.credentials, { signal })));
  }
}
