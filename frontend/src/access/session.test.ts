import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Session } from "./session";

const TOKENS = {
  access_token: "first",
  token_type: "Bearer",
  expires_in: 600,
  name: "ada",
  role: "operator",
  sites: ["Maison"],
};

interface Call {
  path: string;
  body: unknown;
  authorization: string | undefined;
}

/** A server that answers each path with the next of its answers. */
function stage(answers: Record<string, (Response | undefined)[]>) {
  const calls: Call[] = [];
  const ended = vi.fn();
  const session = new Session({
    fetch: async (input, init) => {
      const path = String(input);
      const headers = init?.headers as Record<string, string>;
      const body = init?.body === undefined ? undefined : JSON.parse(String(init.body));
      calls.push({ path, body, authorization: headers.Authorization });
      const answer = answers[path]?.shift();
      if (answer === undefined) throw new TypeError("unreachable");
      return answer;
    },
    ended,
  });
  return { session, calls, ended };
}

function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

const REFUSED = (): Response => json({ code: "unauthorized" }, 401);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a start", () => {
  it("finds that nobody has to log in", async () => {
    const anyone = { auth: "off", kind: "anyone", name: "anyone", role: "operator", sites: null };
    const { session, ended } = stage({ "/api/auth/me": [json(anyone)] });
    await session.start();
    expect(session.person).toMatchObject({ kind: "anyone", role: "operator" });
    expect(session.isLoggedIn).toBe(false);
    expect(session.bearer).toBeUndefined();
    expect(session.hasRole("operator")).toBe(true);
    expect(session.hasRole("admin")).toBe(false);
    expect(ended).not.toHaveBeenCalled();
  });

  it("goes on with the cookie of before", async () => {
    const { session, calls } = stage({ "/api/auth/me": [REFUSED()], "/api/auth/refresh": [json(TOKENS)] });
    expect(await session.start()).toMatchObject({ kind: "person", name: "ada", sites: ["Maison"] });
    expect(session.bearer).toBe("first");
    expect(calls.map(({ path }) => path)).toEqual(["/api/auth/me", "/api/auth/refresh"]);
    expect(calls[1]?.body).toEqual({});
  });

  it("ends where somebody has to log in", async () => {
    const { session, ended } = stage({ "/api/auth/me": [REFUSED()], "/api/auth/refresh": [REFUSED()] });
    expect(await session.start()).toBeUndefined();
    expect(ended).toHaveBeenCalledOnce();
  });

  it("knows nothing while the server is away, and nobody is sent away", async () => {
    const { session, ended } = stage({ "/api/auth/me": [undefined] });
    expect(await session.start()).toBeUndefined();
    expect(ended).not.toHaveBeenCalled();
  });
});

describe("a login", () => {
  it("asks for the cookie and keeps the token", async () => {
    const { session, calls } = stage({ "/api/auth/login": [json(TOKENS)] });
    expect(await session.logIn("ada", "secret")).toBeUndefined();
    expect(calls[0]?.body).toEqual({ name: "ada", password: "secret", cookie: true });
    expect(session.bearer).toBe("first");
  });

  it.each([
    [REFUSED(), { kind: "wrong" }],
    [json({}, 429, { "retry-after": "17" }), { kind: "too_many", retryAfterSeconds: 17 }],
    [json({}, 503), { kind: "unreachable" }],
    [undefined, { kind: "unreachable" }],
  ])("says why it was refused (%#)", async (answer, failure) => {
    const { session } = stage({ "/api/auth/login": [answer] });
    expect(await session.logIn("ada", "secret")).toEqual(failure);
  });
});

describe("a session", () => {
  const next = (): Response => json({ ...TOKENS, access_token: "second" });

  it("renews its token a minute before it ends", async () => {
    const { session, calls } = stage({ "/api/auth/login": [json(TOKENS)], "/api/auth/refresh": [next()] });
    await session.logIn("ada", "secret");
    await vi.advanceTimersByTimeAsync(539_000);
    expect(session.bearer).toBe("first");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(session.bearer).toBe("second");
    expect(calls[1]?.authorization).toBe("Bearer first");
  });

  it("is renewed once, however many ask at the same moment", async () => {
    const { session, calls } = stage({ "/api/auth/login": [json(TOKENS)], "/api/auth/refresh": [next()] });
    await session.logIn("ada", "secret");
    expect(await Promise.all([session.renew(), session.renew()])).toEqual(["second", "second"]);
    expect(calls).toHaveLength(2);
  });

  it("is looked at when the page wakes, and left alone while the token is good", async () => {
    const { session, calls } = stage({ "/api/auth/login": [json(TOKENS)], "/api/auth/refresh": [next()] });
    await session.logIn("ada", "secret");
    await session.wake();
    expect(calls).toHaveLength(1);
    vi.setSystemTime(Date.now() + 700_000);
    await session.wake();
    expect(session.bearer).toBe("second");
  });

  it("ends when it is not renewed, but not because the server is away", async () => {
    const { session, ended } = stage({
      "/api/auth/login": [json(TOKENS)],
      "/api/auth/refresh": [undefined, REFUSED()],
    });
    await session.logIn("ada", "secret");
    expect(await session.renew()).toBe("first");
    expect(ended).not.toHaveBeenCalled();
    expect(await session.renew()).toBeUndefined();
    expect(ended).toHaveBeenCalledOnce();
    expect(session.bearer).toBeUndefined();
  });

  it("ends with a logout", async () => {
    const { session, ended } = stage({
      "/api/auth/login": [json(TOKENS)],
      "/api/auth/logout": [new Response(null, { status: 204 })],
    });
    await session.logIn("ada", "secret");
    await session.logOut();
    expect(ended).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(session.bearer).toBeUndefined();
  });
});
