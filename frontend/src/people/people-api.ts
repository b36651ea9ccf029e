/** The calls about accounts. */

import type { Role } from "../access/session";
import type { ApiClient } from "../api/client";
import { isJsonObject } from "../domain/reading";

export interface Account {
  name: string;
  role: Role;
  sites: string[] | null;
  lastLoginAtMs: number | undefined;
}

export interface AccountChange {
  role?: Role;
  sites?: string[] | null;
  password?: string;
}

export class PeopleApi {
  constructor(private readonly api: ApiClient) {}

  async accounts(): Promise<Account[]> {
    const accounts = await this.api.call("GET", "/api/users");
    return Array.isArray(accounts) ? accounts.filter(isJsonObject).map(accountOf) : [];
  }

  async add(account: { name: string; password: string; role: Role; sites: string[] | null }): Promise<void> {
    await this.api.call("POST", "/api/users", account);
  }

  async change(name: string, change: AccountChange): Promise<void> {
    await this.api.call("PATCH", `/api/users/${encodeURIComponent(name)}`, change);
  }

  async remove(name: string): Promise<void> {
    await this.api.call("DELETE", `/api/users/${encodeURIComponent(name)}`);
  }

  async changeOwnPassword(current: string, next: string): Promise<void> {
    await this.api.call("PUT", "/api/auth/password", { current_password: current, new_password: next });
  }
}

function accountOf(fields: Record<string, unknown>): Account {
  const { name, role, sites, last_login_at: lastLogin } = fields;
  return {
    name: typeof name === "string" ? name : "",
    role: role === "admin" || role === "operator" ? role : "viewer",
    sites: Array.isArray(sites) ? sites.filter((site) => typeof site === "string") : null,
    lastLoginAtMs: typeof lastLogin === "string" ? Date.parse(lastLogin) : undefined,
  };
}
