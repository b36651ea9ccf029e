/** The calls about who may do what: login, accounts, device keys and claim codes. */

import type { Credentials } from "../access/credentials";
import { isRole, type Role, textsOf } from "../access/identity";
import { isJsonObject } from "../domain/reading";
import { RequestError } from "./problem";
import { jsonArray, request } from "./request";
import { type Schemas, unchecked } from "./schemas";

export interface User {
  name: string;
  role: Role;
  sites: readonly string[] | null;
  lastLoginMs: number | undefined;
}

export type UserChange = Schemas["ChangeUser"];
export type NewUser = Schemas["NewUser"];
export type NewDeviceKey = Schemas["NewDeviceKey"];
export type NewClaim = Schemas["NewClaim"];

export interface DeviceKey {
  id: string;
  label: string;
  sensors: readonly string[];
  site: string | null;
  room: string | null;
  createdBy: string;
  lastUsedMs: number | undefined;
}

export interface Claim {
  id: string;
  redeemed: boolean;
  sensorId: string | null;
  /** From its making to its end, which no wrong clock can change. */
  lifetimeMs: number;
}

export interface Site {
  name: string;
  rooms: readonly string[];
}

export class AccessClient {
  constructor(private readonly credentials?: Credentials) {}

  /** The refresh token comes as a cookie that no script can read. */
  async login(name: string, password: string): Promise<void> {
    await request("/api/auth/login", undefined, { method: "POST", body: { name, password, cookie: true } });
  }

  async changePassword(current: string, next: string): Promise<void> {
    await request("/api/auth/password", this.credentials, {
      method: "PUT",
      body: { current_password: current, new_password: next },
    });
  }

  async users(): Promise<User[]> {
    return (await this.list("/api/users")).flatMap((user) => userOf(user) ?? []);
  }

  async addUser(user: NewUser): Promise<void> {
    await request("/api/users", this.credentials, { method: "POST", body: user });
  }

  async changeUser(name: string, change: UserChange): Promise<void> {
    await request(`/api/users/${encodeURIComponent(name)}`, this.credentials, {
      method: "PATCH",
      body: change,
    });
  }

  async removeUser(name: string): Promise<void> {
    await this.remove("/api/users", name);
  }

  async deviceKeys(): Promise<DeviceKey[]> {
    return (await this.list("/api/device-keys")).flatMap((key) => deviceKeyOf(key) ?? []);
  }

  /** Returns the key itself, which the server tells this once. */
  async addDeviceKey(key: NewDeviceKey): Promise<string> {
    return textOf(unchecked<"DeviceKey">(await this.create("/api/device-keys", key))?.key, "key");
  }

  async revokeDeviceKey(id: string): Promise<void> {
    await this.remove("/api/device-keys", id);
  }

  async claims(): Promise<Claim[]> {
    return (await this.list("/api/claims")).flatMap((claim) => claimOf(claim) ?? []);
  }

  /** The code is told this once. */
  async addClaim(claim: NewClaim): Promise<{ claim: Claim; code: string }> {
    const answer = await this.create("/api/claims", claim);
    const made = claimOf(answer);
    if (made === undefined) throw new RequestError("unreadable", "the answer is not a claim");
    return { claim: made, code: textOf(unchecked<"Claim">(answer)?.code, "code") };
  }

  async removeClaim(id: string): Promise<void> {
    await this.remove("/api/claims", id);
  }

  async sites(): Promise<Site[]> {
    return (await this.list("/api/rooms")).flatMap((site) => siteOf(site) ?? []);
  }

  /** Whether the sensor has sent anything yet. */
  async sensorIsKnown(sensorId: string): Promise<boolean> {
    try {
      await request(`/api/sensors/${encodeURIComponent(sensorId)}`, this.credentials);
      return true;
    } catch (cause) {
      if (cause instanceof RequestError && cause.status === 404) return false;
      throw cause;
    }
  }

  private async list(path: string): Promise<unknown[]> {
    return jsonArray(await request(path, this.credentials));
  }

  private async create(path: string, body: unknown): Promise<object> {
    const response = await request(path, this.credentials, { method: "POST", body });
    const answer: unknown = await response.json().catch(() => undefined);
    if (isJsonObject(answer)) return answer;
    throw new RequestError("unreadable", "the answer is not a JSON object", { status: response.status });
  }

  private async remove(path: string, id: string): Promise<void> {
    await request(`${path}/${encodeURIComponent(id)}`, this.credentials, { method: "DELETE" });
  }
}

function userOf(answer: unknown): User | undefined {
  const record = unchecked<"User">(answer);
  if (record === undefined) return undefined;
  const { name, role, sites, last_login_at: lastLogin } = record;
  if (typeof name !== "string" || !isRole(role)) return undefined;
  return { name, role, sites: textsOf(sites), lastLoginMs: timeOf(lastLogin) };
}

function deviceKeyOf(answer: unknown): DeviceKey | undefined {
  const record = unchecked<"DeviceKey">(answer);
  if (typeof record?.id !== "string") return undefined;
  return {
    id: record.id,
    label: textOrNull(record.label) ?? "",
    sensors: textsOf(record.sensors) ?? [],
    site: textOrNull(record.enseigne),
    room: textOrNull(record.salle),
    createdBy: textOrNull(record.created_by) ?? "",
    lastUsedMs: timeOf(record.last_used_at),
  };
}

function claimOf(answer: unknown): Claim | undefined {
  const record = unchecked<"Claim">(answer);
  if (typeof record?.id !== "string") return undefined;
  const madeMs = timeOf(record.created_at);
  const expiresMs = timeOf(record.expires_at);
  if (madeMs === undefined || expiresMs === undefined) return undefined;
  return {
    id: record.id,
    redeemed: record.state === "redeemed",
    sensorId: textOrNull(record.sensor_id),
    lifetimeMs: expiresMs - madeMs,
  };
}

function siteOf(answer: unknown): Site | undefined {
  const record = unchecked<"Site">(answer);
  if (typeof record?.enseigne !== "string") return undefined;
  const rooms: unknown[] = Array.isArray(record.salles) ? record.salles : [];
  return {
    name: record.enseigne,
    rooms: rooms.flatMap((room) => {
      const name = unchecked<"Room">(room)?.salle;
      return typeof name === "string" ? name : [];
    }),
  };
}

function textOf(value: unknown, member: string): string {
  if (typeof value !== "string") throw new RequestError("unreadable", `the answer has no ${member}`);
  return value;
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function timeOf(value: unknown): number | undefined {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
