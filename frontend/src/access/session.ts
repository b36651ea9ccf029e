/**
 * Who uses this browser.
 *
 * The token is kept in memory only. What brings the next one is a cookie that no script can read, so a
 * page that was closed, or slept, asks for a token first of all.
 */

import { isJsonObject } from "../domain/reading";

export type Role = "viewer" | "operator" | "admin";

export interface Person {
  /** `anyone` where nobody has to log in. */
  kind: "anyone" | "person";
  name: string;
  role: Role;
  /** Sites one is restricted to; null for all. */
  sites: string[] | null;
}

export type LoginFailure =
  | { kind: "wrong" }
  | { kind: "too_many"; retryAfterSeconds: number }
  | { kind: "unreachable" };

/** Renewed this long before its end. */
const RENEW_BEFORE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** Further than a timer reaches. */
const TIMER_MAX_MS = 2 ** 31 - 1;

interface Token {
  text: string;
  expiresAtMs: number;
}

export interface SessionParts {
  fetch: typeof fetch;
  /** The session has ended: whoever was there has to log in. */
  ended(): void;
}

export class Session {
  private token: Token | undefined;
  private renewal: Promise<string | undefined> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private current: Person | undefined;

  constructor(private readonly parts: SessionParts) {}

  /** Known once the session has started. */
  get person(): Person | undefined {
    return this.current;
  }

  /** False where nobody has to log in. */
  get isLoggedIn(): boolean {
    return this.current?.kind === "person";
  }

  hasRole(role: Role): boolean {
    const roles: Role[] = ["viewer", "operator", "admin"];
    return this.current !== undefined && roles.indexOf(this.current.role) >= roles.indexOf(role);
  }

  /** The token to send, where one is needed. */
  get bearer(): string | undefined {
    return this.token?.text;
  }

  /** Finds out who is there. Undefined when somebody has to log in first, or the server is away. */
  async start(): Promise<Person | undefined> {
    const response = await this.call("/api/auth/me");
    if (response === undefined) return undefined;
    if (response.status === 401) {
      if ((await this.renew()) === undefined) return undefined;
      return this.current;
    }
    this.current = personOf(await response.json().catch(() => undefined));
    return this.current;
  }

  async logIn(name: string, password: string): Promise<LoginFailure | undefined> {
    const response = await this.call("/api/auth/login", { name, password, cookie: true });
    if (response?.status === 429) {
      return { kind: "too_many", retryAfterSeconds: Number(response.headers.get("retry-after")) || 60 };
    }
    if (response?.status === 401 || response?.status === 422) return { kind: "wrong" };
    if (response?.ok !== true) return { kind: "unreachable" };
    this.take(await response.json().catch(() => undefined));
    return undefined;
  }

  async logOut(): Promise<void> {
    await this.call("/api/auth/logout", {});
    this.end();
  }

  /** Another token. Undefined when the session is over, which is told, or the server is away. */
  renew(): Promise<string | undefined> {
    this.renewal ??= this.fetchToken().finally(() => {
      this.renewal = undefined;
    });
    return this.renewal;
  }

  /** The page may have slept past the end of its token. */
  async wake(): Promise<void> {
    if (this.token !== undefined && Date.now() >= this.token.expiresAtMs - RENEW_BEFORE_MS)
      await this.renew();
  }

  /** The session is over, here or in another tab. */
  end(): void {
    clearTimeout(this.timer);
    this.token = undefined;
    this.parts.ended();
  }

  private async fetchToken(): Promise<string | undefined> {
    const response = await this.call("/api/auth/refresh", {});
    if (response?.ok === true) this.take(await response.json().catch(() => undefined));
    else if (response?.status === 401) this.end();
    return this.token?.text;
  }

  private take(answer: unknown): void {
    if (!isJsonObject(answer)) return;
    const { access_token: text, expires_in: seconds } = answer;
    if (typeof text !== "string" || typeof seconds !== "number") return;
    // By the browser's own clock, which may be minutes off the server's.
    const lifetimeMs = seconds * 1000;
    this.token = { text, expiresAtMs: Date.now() + lifetimeMs };
    this.current = personOf({ ...answer, kind: "person" });
    clearTimeout(this.timer);
    const delayMs = Math.max(lifetimeMs - RENEW_BEFORE_MS, lifetimeMs / 2);
    this.timer = setTimeout(() => void this.renew(), Math.min(delayMs, TIMER_MAX_MS));
  }

  private async call(path: string, body?: Record<string, unknown>): Promise<Response | undefined> {
    const headers: Record<string, string> = {};
    if (this.token !== undefined) headers.Authorization = `Bearer ${this.token.text}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      return await this.parts.fetch(path, {
        method: body === undefined ? "GET" : "POST",
        headers,
        cache: "no-store",
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      return undefined;
    }
  }
}

function personOf(value: unknown): Person | undefined {
  if (!isJsonObject(value)) return undefined;
  const { kind, name, role, sites } = value;
  if (kind !== "anyone" && kind !== "person") return undefined;
  if (typeof name !== "string" || (role !== "viewer" && role !== "operator" && role !== "admin"))
    return undefined;
  const names = Array.isArray(sites) ? sites.filter((site) => typeof site === "string") : null;
  return { kind, name, role, sites: names };
}
