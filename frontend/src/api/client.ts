/** The calls the pages make, typed and with a time limit. */

import { isJsonObject, type Reading, readingsFromRecords } from "../domain/reading";
import { RequestError, requestErrorOf } from "./problem";

const REQUEST_TIMEOUT_MS = 10_000;

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

  /** The latest reading of each sensor, or undefined when nothing changed since the last call. */
  async latest(signal?: AbortSignal): Promise<Reading[] | undefined> {
    const headers: Record<string, string> =
      this.latestTag === undefined ? {} : { "If-None-Match": this.latestTag };
    const response = await request("/api/latest", signal, headers);
    if (response.status === 304) return undefined;
    const readings = readingsFromRecords(await jsonArray(response));
    this.latestTag = response.headers.get("etag") ?? undefined;
    return readings;
  }

  /** Sensors that reported too seldom for a period to be known are left out. */
  async sensorPeriods(signal?: AbortSignal): Promise<SensorPeriod[]> {
    const sensors = await jsonArray(await request("/api/sensors", signal));
    return sensors.flatMap((sensor) => {
      if (!isJsonObject(sensor)) return [];
      const { sensor_id: sensorId, expected_period_s: periodSeconds } = sensor;
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
    return readingsFromRecords(await jsonArray(await request(`/api/iaq/data?${parameters}`, signal)));
  }
}

async function request(
  path: string,
  signal?: AbortSignal,
  headers: Record<string, string> = {},
): Promise<Response> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  let response: Response;
  try {
    // The page keeps the tag itself: the browser's cache would turn a 304 back into a 200.
    response = await fetch(path, { headers, signal: either, cache: "no-store" });
  } catch (cause) {
    throw new RequestError(timeout.aborted ? "timeout" : "network", String(cause));
  }
  if (response.ok || response.status === 304) return response;
  throw await requestErrorOf(response);
}

async function jsonArray(response: Response): Promise<unknown[]> {
  const body: unknown = await response.json().catch(() => undefined);
  if (Array.isArray(body)) return body;
  throw new RequestError("unreadable", "the answer is not a JSON array", response.status);
}
