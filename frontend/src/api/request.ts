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
}

/** A refused token is renewed once and the request repeated once. */
export async function request(
  path: string,
  credentials: Credentials | undefined,
  options: RequestOptions = {},
): Promise<Response> {
  const used = credentials?.token;
  const response = await send(path, used, options);
  if (response.ok || response.status === 304) return response;
  const error = await requestErrorOf(response);
  if (!isAboutToken(error)) throw error;
  const token = await credentials?.tokenAfter(used);
  if (token === undefined) throw error;
  const repeated = await send(path, token, options);
  if (repeated.ok || repeated.status === 304) return repeated;
  throw await requestErrorOf(repeated);
}

async function send(path: string, token: string | undefined, options: RequestOptions): Promise<Response> {
  const { method = "GET", body, signal } = options;
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const headers: Record<string, string> = { ...options.headers };
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  // Also without a body: it is what shows that no form of another site sent this.
  if (method !== "GET") headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      // The page keeps the tag itself: the browser's cache would turn a 304 back into a 200.
      cache: "no-store",
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
