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

/** What a request is sent with, where the server asks who it is. */
export interface Authorization {
  readonly bearer: string | undefined;
  renew(): Promise<string | undefined>;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export class ApiClient {
  private latestTag: string | undefined;

  constructor(private readonly authorization?: Authorization) {}

  /** Any other call: the JSON of its answer, undefined when there is none. */
  async call(method: Method, path: string, body?: unknown): Promise<unknown> {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers: Record<string, string> = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await this.request(path, undefined, headers, { method, ...sent });
    return response.status === 204 ? undefined : response.json();
  }

  /** The latest reading of each sensor, or undefined when nothing changed since the last call. */
  async latest(signal?: AbortSignal): Promise<Reading[] | undefined> {
    const headers: Record<string, string> =
      this.latestTag === undefined ? {} : { "If-None-Match": this.latestTag };
    const response = await this.request("/api/latest", signal, headers);
    if (response.status === 304) return undefined;
    const readings = readingsFromRecords(await jsonArray(response));
    this.latestTag = response.headers.get("etag") ?? undefined;
    return readings;
  }

  /** Sensors that reported too seldom for a period to be known are left out. */
  async sensorPeriods(signal?: AbortSignal): Promise<SensorPeriod[]> {
    const sensors = await jsonArray(await this.request("/api/sensors", signal));
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
    return readingsFromRecords(await jsonArray(await this.request(`/api/iaq/data?${parameters}`, signal)));
  }

  /** With the token at hand; when that does not count any more, once again with another one. */
  private async request(
    path: string,
    signal?: AbortSignal,
    headers: Record<string, string> = {},
    init: RequestInit = {},
  ): Promise<Response> {
    const response = await send(
      path,
      signal,
      { ...headers, ...bearerHeader(this.authorization?.bearer) },
      init,
    );
    if (response.ok || response.status === 304) return response;
    if (response.status !== 401 || this.authorization?.bearer === undefined)
      throw await requestErrorOf(response);
    const renewed = bearerHeader(await this.authorization.renew());
    const again = await send(path, signal, { ...headers, ...renewed }, init);
    if (again.ok || again.status === 304) return again;
    throw await requestErrorOf(again);
  }
}

function bearerHeader(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { Authorization: `Bearer ${token}` };
}

async function send(
  path: string,
  signal: AbortSignal | undefined,
  headers: Record<string, string>,
  init: RequestInit,
): Promise<Response> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  try {
    // The page keeps the tag itself: the browser's cache would turn a 304 back into a 200.
    return await fetch(path, { ...init, headers, signal: either, cache: "no-store" });
  } catch (cause) {
    throw new RequestError(timeout.aborted ? "timeout" : "network", String(cause));
  }
}

async function jsonArray(response: Response): Promise<unknown[]> {
  const body: unknown = await response.json().catch(() => undefined);
  if (Array.isArray(body)) return body;
  throw new RequestError("unreadable", "the answer is not a JSON array", response.status);
}
