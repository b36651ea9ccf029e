/** Answers of the server for tests, by call; whatever is not answered counts as unreachable. */

import { vi } from "vitest";

type Answer = { status: number; body?: unknown; headers?: Record<string, string> };

export interface FakeServer {
  /** The calls so far, as `POST /api/auth/refresh`. */
  calls: string[];
  /** The tokens of the calls so far. */
  tokens: (string | null)[];
  answers: Record<string, Answer | ((token: string | null) => Answer)>;
}

export function fakeServer(answers: FakeServer["answers"]): FakeServer {
  const server: FakeServer = { calls: [], tokens: [], answers };
  vi.stubGlobal("fetch", async (path: string, init: RequestInit = {}) => {
    const call = `${init.method ?? "GET"} ${path}`;
    const token = new Headers(init.headers).get("authorization");
    server.calls.push(call);
    server.tokens.push(token);
    const found = server.answers[call];
    if (found === undefined) throw new TypeError("unreachable");
    const { status, body, headers } = typeof found === "function" ? found(token) : found;
    return new Response(body === undefined ? null : JSON.stringify(body), { status, headers: headers ?? {} });
  });
  return server;
}

export const UNAUTHORIZED: Answer = { status: 401, body: { title: "Unauthorized", code: "unauthorized" } };

export function tokensAnswer(token: string, name = "ada", seconds = 600): Answer {
  return {
    status: 200,
    body: { access_token: token, expires_in: seconds, name, role: "admin", sites: null },
  };
}
