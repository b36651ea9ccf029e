/** The calls about keys of devices and sensors to adopt. */

import type { ApiClient } from "../api/client";
import { isJsonObject } from "../domain/reading";

export interface DeviceKey {
  id: string;
  label: string;
  sensors: string[];
  site: string | null;
  room: string | null;
  createdAtMs: number;
  lastUsedAtMs: number | undefined;
}

/** A place that waits for its sensor. */
export interface Claim {
  id: string;
  isRedeemed: boolean;
  site: string;
  room: string;
  sensorId: string | undefined;
  expiresAtMs: number;
}

export interface Place {
  site: string;
  room: string;
}

export class DeviceApi {
  constructor(private readonly api: ApiClient) {}

  async keys(): Promise<DeviceKey[]> {
    return objects(await this.api.call("GET", "/api/device-keys")).map(keyOf);
  }

  /** Returns the key's text, which is told only now. */
  async addKey(sensors: string[], label: string): Promise<string> {
    const made = await this.api.call("POST", "/api/device-keys", { sensors, label });
    return textOf(isJsonObject(made) ? made.key : undefined);
  }

  async revoke(id: string): Promise<void> {
    await this.api.call("DELETE", `/api/device-keys/${encodeURIComponent(id)}`);
  }

  /** Returns the claim and its code, which is told only now. */
  async claim(place: Place): Promise<{ claim: Claim; code: string }> {
    const made = await this.api.call("POST", "/api/claims", { enseigne: place.site, salle: place.room });
    const fields = isJsonObject(made) ? made : {};
    return { claim: claimOf(fields), code: textOf(fields.code) };
  }

  async claims(): Promise<Claim[]> {
    return objects(await this.api.call("GET", "/api/claims")).map(claimOf);
  }

  async drop(id: string): Promise<void> {
    await this.api.call("DELETE", `/api/claims/${encodeURIComponent(id)}`);
  }

  async places(): Promise<Place[]> {
    return objects(await this.api.call("GET", "/api/rooms")).flatMap((site) =>
      objects(site.salles).map((room) => ({ site: textOf(site.enseigne), room: textOf(room.salle) })),
    );
  }

  /** Whether the sensor has sent a reading. */
  async hasReadings(sensorId: string): Promise<boolean> {
    return objects(await this.api.call("GET", "/api/sensors")).some(({ sensor_id: id }) => id === sensorId);
  }
}

function keyOf(fields: Record<string, unknown>): DeviceKey {
  return {
    id: textOf(fields.id),
    label: textOf(fields.label),
    sensors: Array.isArray(fields.sensors) ? fields.sensors.map(textOf) : [],
    site: typeof fields.enseigne === "string" ? fields.enseigne : null,
    room: typeof fields.salle === "string" ? fields.salle : null,
    createdAtMs: Date.parse(textOf(fields.created_at)),
    lastUsedAtMs: typeof fields.last_used_at === "string" ? Date.parse(fields.last_used_at) : undefined,
  };
}

function claimOf(fields: Record<string, unknown>): Claim {
  return {
    id: textOf(fields.id),
    isRedeemed: fields.state === "redeemed",
    site: textOf(fields.enseigne),
    room: textOf(fields.salle),
    sensorId: typeof fields.sensor_id === "string" ? fields.sensor_id : undefined,
    expiresAtMs: Date.parse(textOf(fields.expires_at)),
  };
}

function objects(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
