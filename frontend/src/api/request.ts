/** One request to the server: with the reader's token, a time limit, and errors a person can read. */

import type { Credentials } from "../access/credentials";
import { RequestError, requestErrorOf } from "./problem";

const REQUEST_TIMEOUT_MS = 10_000;

export interface RequestOptions {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Whether the browser may keep the answer; without it, it may not. */
  cache?: RequestCache;
  timeoutMs?: number;
}

export function request(
  path: string,
  credentials: Credentials | undefined,
  options: RequestOptions = {},
): Promise<Response> {
  return authorized(credentials, (token) => send(path, token, options));
}

/** A refused token is renewed once and the request repeated once. */
export async function authorized(
  credentials: Credentials | undefined,
  attempt: (token: string | undefined) => Promise<Response>,
): Promise<Response> {
  const used = credentials?.token;
  const response = await attempt(used);
  if (response.ok || response.status === 304) return response;
  const error = await requestErrorOf(response);
  if (!isAboutToken(error)) throw error;
  const token = await credentials?.tokenAfter(used);
  if (token === undefined) throw error;
  const repeated = await attempt(token);
  if (repeated.ok || repeated.status === 304) return repeated;
  throw await requestErrorOf(repeated);
}

async function send(path: string, token: string | undefined, options: RequestOptions): Promise<Response> {
  const { method = "GET", body, signal, cache = "no-store", timeoutMs = REQUEST_TIMEOUT_MS } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const headers: Record<string, string> = { ...options.headers };
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      // The page keeps the tag itself: the browser's cache would turn a 304 back into a 200.
      cache,
    });
  } catch (cause) {
    throw new RequestError(timeout.aborted ? "timeout" : "network", String(cause));
  }
}

/** A wrong password is answered 401 as well, and a new token would not make it right. */
function isAboutToken({ status, code }: RequestError): boolean {
  return status === 401 && code !== "bad_credentials";
}

export async function jsonArray(response: Response): Promise<unknown[]> {
  const body: unknown = await response.json().catch(() => undefined);
  if (Array.isArray(body)) return body;
  throw new RequestError("unreadable", "the answer is not a JSON array", { status: response.status });
}
