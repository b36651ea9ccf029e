import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type FakeServer, fakeServer, tokensAnswer, UNAUTHORIZED } from "./fake-server";
import { Session } from "./session";

const ME = "GET /api/auth/me";
const REFRESH = "POST /api/auth/refresh";
const LOGOUT = "POST /api/auth/logout";

let server: FakeServer;
let session: Session;
let addresses: string[];
let reloads: number;

function begin(answers: FakeServer["answers"]): void {
  server = fakeServer(answers);
  addresses = [];
  reloads = 0;
  session = new Session({
    goTo: (address) => addresses.push(address),
    reload: () => {
      reloads += 1;
    },
    here: () => "/devices.html",
  });
}

function refreshes(): number {
  return server.calls.filter((call) => call === REFRESH).length;
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  session.stop();
  localStorage.clear();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("where nobody has to log in", () => {
  beforeEach(() => begin({ [ME]: { status: 200, body: { kind: "anyone", role: "operator", sites: null } } }));

  test("the page goes on without a token, and nothing is ever renewed", async () => {
    expect(await session.start()).toBe(true);
    expect(session.identity).toMatchObject({ kind: "anyone", role: "operator" });
    expect(session.token).toBeUndefined();
    expect(session.renewable).toBe(false);
    expect(await session.tokenAfter(undefined)).toBeUndefined();
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(server.calls).toEqual([ME]);
  });
});

describe("where people log in", () => {
  test("the cookie gives a token", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    expect(await session.start()).toBe(true);
    expect(session.token).toBe("one");
    expect(session.identity).toMatchObject({ kind: "person", name: "ada", role: "admin" });
    expect(addresses).toEqual([]);
  });

  test("a reader who was logged in last is asked for once", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    await session.start();
    session.stop();
    begin({ [REFRESH]: tokensAnswer("two") });
    expect(await session.start()).toBe(true);
    expect(session.token).toBe("two");
    expect(server.calls).toEqual([REFRESH]);
  });

  test("after a session has ended, the server is asked anew whether anybody has to log in", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    await session.start();
    session.stop();
    begin({ [REFRESH]: UNAUTHORIZED });
    expect(await session.start()).toBe(false);
    begin({ [ME]: { status: 200, body: { kind: "anyone", role: "operator", sites: null } } });
    expect(await session.start()).toBe(true);
    expect(server.calls).toEqual([ME]);
  });

  test("without a cookie the reader is sent to log in, once", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: UNAUTHORIZED });
    expect(await session.start()).toBe(false);
    expect(await session.tokenAfter(undefined)).toBeUndefined();
    expect(addresses).toEqual(["/login.html?next=%2Fdevices.html"]);
    expect(refreshes()).toBe(1);
  });

  test("the token is renewed a minute before its end", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    await session.start();
    server.answers[REFRESH] = tokensAnswer("two");
    await vi.advanceTimersByTimeAsync(539_000);
    expect(session.token).toBe("one");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(session.token).toBe("two");
  });

  test("a token shorter than that is renewed at half its life", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one", "ada", 3) });
    await session.start();
    await vi.advanceTimersByTimeAsync(3_100);
    expect(refreshes()).toBe(3);
  });

  test("a page that slept renews as soon as it is back", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    await session.start();
    window.dispatchEvent(new Event("online"));
    expect(refreshes()).toBe(1);
    vi.setSystemTime(Date.now() + 3_600_000);
    window.dispatchEvent(new Event("online"));
    await vi.advanceTimersByTimeAsync(0);
    expect(refreshes()).toBe(2);
  });

  test("everyone who was refused shares one renewal", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    await session.start();
    server.answers[REFRESH] = tokensAnswer("two");
    const tokens = await Promise.all([session.tokenAfter("one"), session.tokenAfter("one")]);
    expect(tokens).toEqual(["two", "two"]);
    expect(await session.tokenAfter("one")).toBe("two");
    expect(refreshes()).toBe(2);
  });

  test.each([
    ["is away", undefined],
    ["is ill", { status: 503 }],
    ["is asked too often", { status: 429 }],
  ])("a server that %s does not end the session", async (_, answer) => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    await session.start();
    if (answer === undefined) delete server.answers[REFRESH];
    else server.answers[REFRESH] = answer;
    expect(await session.tokenAfter("one")).toBeUndefined();
    expect(addresses).toEqual([]);
    server.answers[REFRESH] = tokensAnswer("two");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(session.token).toBe("two");
  });

  test("a server that is away at the start is asked again", async () => {
    begin({});
    expect(await session.start()).toBe(true);
    server.answers = { [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") };
    await vi.advanceTimersByTimeAsync(5_000);
    expect(session.token).toBe("one");
  });

  test("somebody else's login in another tab reloads the page", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one") });
    await session.start();
    server.answers[REFRESH] = tokensAnswer("two", "bob");
    await session.tokenAfter("one");
    expect(reloads).toBe(1);
  });

  test("logging out leaves, and takes the other tabs along", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one"), [LOGOUT]: { status: 204 } });
    await session.start();
    const left: string[] = [];
    const other = new Session({
      goTo: (address) => left.push(address),
      reload: () => {},
      here: () => "/",
    });
    await other.start();
    vi.useRealTimers();
    await session.logout();
    expect(session.token).toBeUndefined();
    expect(addresses).toEqual(["/login.html"]);
    await vi.waitFor(() => expect(left).toEqual(["/login.html"]));
    expect(other.token).toBeUndefined();
    other.stop();
  });

  test("a logout the server did not hear of is told, and nobody leaves", async () => {
    begin({ [ME]: UNAUTHORIZED, [REFRESH]: tokensAnswer("one"), [LOGOUT]: { status: 503 } });
    await session.start();
    await expect(session.logout()).rejects.toThrow("503");
    expect(addresses).toEqual([]);
    expect(session.token).toBe("one");
  });
});
