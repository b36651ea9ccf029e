/**
 * The reader's session: a short-lived access token in memory, renewed before it ends. What renews it is
 * a cookie no script can read, so nothing of value is left in the browser's storage.
 */

import { unchecked } from "../api/schemas";
import { onPageReturn } from "../live/page-return";
import type { Credentials } from "./credentials";
import { type Identity, identityOf } from "./identity";
import { LOGIN_PATH, loginAddress } from "./next-path";
import { rememberLogin, remembersLogin } from "./remembered-login";
import { announceLogout, oneTabAtATime, onLogoutElsewhere } from "./tabs";

const RENEW_BEFORE_END_MS = 60_000;
const RETRY_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;

/** `unreachable` leaves the session as it is: it may well be good, and is tried again. */
type Renewal = "renewed" | "ended" | "unreachable";

export interface SessionParts {
  goTo(address: string): void;
  reload(): void;
  /** The page's own path with its query and fragment. */
  here(): string;
}

export class Session implements Credentials {
  private known: Identity | undefined;
  private accessToken: string | undefined;
  private renewAtMs = Number.POSITIVE_INFINITY;
  private renewal: Promise<Renewal> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly stopWatching: (() => void)[] = [];
  private readonly listeners = new Set<(identity: Identity | undefined) => void>();
  private leaving = false;

  constructor(private readonly parts: SessionParts) {}

  get identity(): Identity | undefined {
    return this.known;
  }

  get token(): string | undefined {
    return this.accessToken;
  }

  get renewable(): boolean {
    return this.known?.kind !== "anyone" && !this.leaving;
  }

  /** The reader is on the way to the login page, or came back from there to this very page. */
  get hasEnded(): boolean {
    return this.leaving;
  }

  /** Returns whether the page may go on: else the reader is on the way to the login page. */
  async start(): Promise<boolean> {
    this.stopWatching.push(
      onPageReturn(() => this.renewIfDue()),
      onLogoutElsewhere(() => this.end(this.parts.here())),
    );
    return this.identify();
  }

  stop(): void {
    clearTimeout(this.timer);
    for (const stop of this.stopWatching.splice(0)) stop();
  }

  /** Who the page's visitor is without a session, or undefined when the server wants a login. */
  async visitor(): Promise<Identity | undefined> {
    const response = await fetch("/api/auth/me", options("GET"));
    return response.ok ? identityOf(await response.json()) : undefined;
  }

  async logout(): Promise<void> {
    // After a renewal that is under way, whose cookie it ends.
    const response = await oneTabAtATime(() => fetch("/api/auth/logout", options("POST")));
    if (!response.ok && response.status !== 401) throw new Error(`HTTP ${response.status}`);
    announceLogout();
    this.end();
  }

  async tokenAfter(refused: string | undefined): Promise<string | undefined> {
    if (!this.renewable) return undefined;
    if (this.accessToken !== undefined && this.accessToken !== refused) return this.accessToken;
    return (await this.renew()) === "renewed" ? this.accessToken : undefined;
  }

  onChange(listener: (identity: Identity | undefined) => void): void {
    this.listeners.add(listener);
  }

  private async identify(): Promise<boolean> {
    // The cookie tells at once what the server would first refuse to say.
    if (remembersLogin()) return (await this.renew()) !== "ended";
    try {
      const response = await fetch("/api/auth/me", options("GET"));
      if (response.status === 401) return (await this.renew()) !== "ended";
      if (response.ok) {
        this.become(identityOf(await response.json()));
        return true;
      }
    } catch {
      // The page shows by itself that the server is away.
    }
    this.schedule(RETRY_MS);
    return true;
  }

  /** One renewal at a time: each uses up the cookie of the one before. */
  private renew(): Promise<Renewal> {
    this.renewal ??= oneTabAtATime(() => this.askForToken())
      .catch((): Renewal => "unreachable")
      .then((outcome) => {
        this.renewal = undefined;
        if (outcome === "ended") this.end(this.parts.here());
        if (outcome === "unreachable") this.schedule(RETRY_MS);
        return outcome;
      });
    return this.renewal;
  }

  private async askForToken(): Promise<Renewal> {
    if (this.leaving) return "ended";
    const response = await fetch("/api/auth/refresh", options("POST"));
    if (response.status === 401 || response.status === 403) return "ended";
    if (!response.ok) return "unreachable";
    return this.take(await response.json()) ? "renewed" : "unreachable";
  }

  private take(tokens: unknown): boolean {
    const { access_token: token, expires_in: seconds } = unchecked<"Tokens">(tokens) ?? {};
    if (typeof token !== "string" || typeof seconds !== "number") return false;
    const identity = identityOf(tokens);
    const before = this.known?.name;
    this.accessToken = token;
    rememberLogin(true);
    const lifetimeMs = seconds * 1000;
    this.schedule(lifetimeMs - Math.min(RENEW_BEFORE_END_MS, lifetimeMs / 2));
    this.become(identity);
    // Somebody else logged in in another tab: what this page shows is not theirs.
    if (before != null && before !== identity?.name) this.parts.reload();
    return true;
  }

  private become(identity: Identity | undefined): void {
    this.known = identity;
    for (const listener of this.listeners) listener(identity);
  }

  private schedule(delayMs: number): void {
    clearTimeout(this.timer);
    this.renewAtMs = Date.now() + delayMs;
    this.timer = setTimeout(() => this.renewIfDue(), delayMs);
  }

  /** A sleeping page's timers are late, so the clock decides. */
  private renewIfDue(): void {
    if (this.leaving || Date.now() < this.renewAtMs) return;
    if (this.known === undefined) void this.identify();
    else void this.renew();
  }

  private end(next?: string): void {
    if (this.leaving) return;
    this.leaving = true;
    rememberLogin(false);
    this.accessToken = undefined;
    this.stop();
    this.parts.goTo(next === undefined ? LOGIN_PATH : loginAddress(next));
  }
}

function options(method: "GET" | "POST"): RequestInit {
  return {
    method,
    cache: "no-store",
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  };
}
