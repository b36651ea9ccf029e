import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ApiClient } from "../api/client";
import type { ConnectionState } from "../live/connection-state";
import { type FakeNetwork, fakeNetwork } from "../live/fake-network";
import { LiveData } from "../live/live-data";
import { roomKey } from "../live/room-state";
import { WebSocketManager } from "../live/websocket-manager";
import { REFRESH_MS, ReadingFeed } from "./charts";

const START_MS = Date.UTC(2025, 10, 19, 10);

interface Answer {
  status: number;
  body?: unknown;
  etag?: string;
}

let network: FakeNetwork;
let manager: WebSocketManager;
let data: LiveData;
let feed: ReadingFeed;
let states: ConnectionState[];
let answers: Record<string, () => Answer>;
let asked: { path: string; tag: string | null }[];

function record(secondsAfterStart: number, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    timestamp: new Date(START_MS + secondsAfterStart * 1_000).toISOString(),
    sensor_id: "bureau1",
    enseigne: "Maison",
    salle: "Bureau",
    co2: 600 + secondsAfterStart,
    global_score: 80,
    global_level: "good",
    dominant: "co2",
    ...changes,
  };
}

function begin(useWebSocket = true): void {
  manager = new WebSocketManager({
    eventsUrl: "/api/events",
    createSocket: network.create,
    createEventStream: network.createStream,
    random: () => 1,
  });
  data = new LiveData();
  feed = new ReadingFeed({ manager, data, api: new ApiClient(), useWebSocket });
  states = [];
  feed.onState((state) => states.push(state));
  feed.start();
}

/** Lets answers arrive without letting time pass. */
async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

function calls(path: string): number {
  return asked.filter((call) => call.path.startsWith(path)).length;
}

function seriesTimes(): number[] {
  return [...(data.series("bureau1")?.columnsSince(0).timesMs ?? [])].map(
    (atMs) => (atMs - START_MS) / 1_000,
  );
}

beforeEach(() => {
  vi.useFakeTimers({ now: START_MS });
  for (const level of ["info", "warn"] as const) vi.spyOn(console, level).mockImplementation(() => {});
  network = fakeNetwork();
  asked = [];
  answers = {
    "/api/latest": () => ({ status: 200, body: [], etag: '"1"' }),
    "/api/sensors": () => ({ status: 200, body: [] }),
    "/api/iaq/data": () => ({ status: 200, body: [] }),
  };
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    asked.push({ path, tag: new Headers(init.headers).get("if-none-match") });
    const answer = answers[path.split("?")[0] ?? ""]?.();
    if (answer === undefined) throw new TypeError("Failed to fetch");
    return new Response(answer.body === undefined ? null : JSON.stringify(answer.body), {
      status: answer.status,
      headers: answer.etag === undefined ? {} : { etag: answer.etag },
    });
  });
});

afterEach(() => {
  feed.stop();
  manager.disconnect();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("while the socket is up", () => {
  test("nothing is polled", async () => {
    begin();
    network.latest.open();
    await settle();
    const before = calls("/api/latest");
    await vi.advanceTimersByTimeAsync(10 * REFRESH_MS);
    expect(calls("/api/latest")).toBe(before);
    expect(feed.state()).toMatchObject({ mode: "live", socketActive: true, serverReached: true });
  });

  test("the state goes from connecting over loading to live", async () => {
    let answerLatest = (): void => {};
    const original = fetch;
    vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
      if (path === "/api/latest") await new Promise<void>((resolve) => (answerLatest = resolve));
      return original(path, init);
    });
    begin();
    expect(feed.state().mode).toBe("connecting");
    network.latest.open();
    expect(feed.state().mode).toBe("loading");
    network.latest.receive({ type: "measurement", ...record(0) });
    expect(feed.state().mode).toBe("live");
    answerLatest();
  });

  test("a sensor's period is learnt from the server", async () => {
    answers["/api/latest"] = () => ({ status: 200, body: [record(0)] });
    answers["/api/sensors"] = () => ({
      status: 200,
      body: [
        { sensor_id: "bureau1", expected_period_s: 300 },
        { sensor_id: "new", expected_period_s: null },
        7,
      ],
    });
    begin();
    await settle();
    expect(data.periodMs("bureau1")).toBe(300_000);
  });

  test("a snapshot fills the rooms", async () => {
    begin();
    network.latest.open();
    network.latest.receive({ type: "snapshot", topic: "measurements", data: [record(0), "rubbish"] });
    expect(seriesTimes()).toEqual([0]);
  });

  test("a reading that names no dominant pollutant has it looked up, at most every 10 s", async () => {
    begin();
    network.latest.open();
    await settle();
    const before = calls("/api/latest");
    for (let second = 1; second <= 20; second += 1) {
      network.latest.receive({ type: "measurement", ...record(second, { dominant: undefined }) });
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(calls("/api/latest") - before).toBeLessThanOrEqual(2);
    expect(calls("/api/latest") - before).toBeGreaterThan(0);
  });
});

describe("while the socket is down", () => {
  test("polling begins with the first failure and ends with the connection", async () => {
    begin();
    await settle();
    const before = calls("/api/latest");
    network.latest.drop();
    await settle();
    expect(calls("/api/latest")).toBe(before + 1);
    expect(feed.state()).toMatchObject({ mode: "polling", serverReached: true, socketActive: false });

    await vi.advanceTimersByTimeAsync(REFRESH_MS);
    expect(calls("/api/latest")).toBe(before + 2);

    network.latest.open();
    await settle();
    const onceLive = calls("/api/latest");
    await vi.advanceTimersByTimeAsync(5 * REFRESH_MS);
    expect(calls("/api/latest")).toBe(onceLive);
    expect(feed.state().mode).toBe("live");
  });

  test("an unchanged answer costs a 304", async () => {
    begin(false);
    await settle();
    answers["/api/latest"] = () => ({ status: 304 });
    await vi.advanceTimersByTimeAsync(REFRESH_MS);
    expect(asked.at(-1)).toEqual({ path: "/api/latest", tag: '"1"' });
    expect(feed.state().mode).toBe("polling");
  });

  test("a server that cannot be reached is said to be, with the time of the data", async () => {
    answers["/api/latest"] = () => ({ status: 200, body: [record(0)] });
    begin();
    network.latest.open();
    await settle();
    answers = {};
    network.latest.drop();
    await settle();
    expect(feed.state()).toMatchObject({
      mode: "offline",
      serverReached: false,
      newestReadingMs: START_MS,
      attempt: 1,
    });
    expect(feed.state().nextAttemptAtMs).toBeGreaterThan(Date.now());
  });

  test("a server that answers without data is quoted", async () => {
    answers["/api/latest"] = () => ({ status: 401, body: { title: "No credentials" } });
    begin(false);
    await settle();
    expect(feed.state()).toMatchObject({ mode: "denied", denial: "No credentials", serverReached: false });
    answers["/api/latest"] = () => ({ status: 200, body: [] });
    await vi.advanceTimersByTimeAsync(REFRESH_MS);
    expect(feed.state().mode).toBe("polling");
  });

  test("a refusal keeps polling and waits for the reader to retry", async () => {
    begin();
    network.latest.open();
    network.latest.drop(1008);
    await settle();
    expect(feed.state()).toMatchObject({ mode: "polling", retry: "refused", nextAttemptAtMs: undefined });
    feed.retryNow();
    expect(network.sockets).toHaveLength(2);
  });

  test.each([
    ["once it was up", () => network.latest.open()],
    ["before it was up", () => {}],
    ["while it waited", () => network.latest.drop()],
  ])("switched off by the page %s, polling goes on and no attempt is announced", async (_, before) => {
    begin();
    before();
    await settle();
    manager.disconnect();
    await settle();
    expect(feed.state()).toMatchObject({ mode: "polling", nextAttemptAtMs: undefined });
  });
});

describe("on the rung of server-sent events", () => {
  beforeEach(async () => {
    begin();
    network.latest.drop();
    await vi.advanceTimersByTimeAsync(500);
    network.latest.drop();
    await settle();
  });

  test("polling goes on until the stream is up, and again when it is lost", async () => {
    expect(feed.state()).toMatchObject({ mode: "polling", rung: "polling" });
    const whileOpening = calls("/api/latest");
    await vi.advanceTimersByTimeAsync(REFRESH_MS);
    expect(calls("/api/latest")).toBe(whileOpening + 1);

    network.latestStream.open();
    await settle();
    expect(feed.state()).toMatchObject({
      mode: "live",
      rung: "events",
      serverReached: true,
      socketActive: false,
    });
    const onceUp = calls("/api/latest");
    await vi.advanceTimersByTimeAsync(5 * REFRESH_MS);
    expect(calls("/api/latest")).toBe(onceUp);

    network.latestStream.breakOff();
    await settle();
    expect(feed.state()).toMatchObject({ mode: "polling", rung: "polling" });
    expect(calls("/api/latest")).toBe(onceUp + 1);
  });

  test("its readings and its clock are the page's", () => {
    network.latestStream.open();
    network.latestStream.receive({
      type: "connection",
      timestamp: new Date(START_MS + 60_000).toISOString(),
    });
    network.latestStream.receive({ type: "snapshot", topic: "measurements", id: "1", data: [record(0)] });
    network.latestStream.receive({ type: "measurement", id: "2", ...record(1) });
    expect(seriesTimes()).toEqual([0, 1]);
    expect(data.nowMs() - Date.now()).toBeGreaterThan(50_000);
  });
});

describe("the history of the shown room", () => {
  test("is loaded once and completed after an outage, late readings included", async () => {
    answers["/api/iaq/data"] = () => ({ status: 200, body: [record(-20), record(-10)] });
    begin();
    network.latest.open();
    await settle();
    await feed.showRoom("Maison", "Bureau");
    network.latest.receive({ type: "measurement", ...record(0) });
    await vi.advanceTimersByTimeAsync(20);
    expect(seriesTimes()).toEqual([-20, -10, 0]);

    answers["/api/iaq/data"] = () => ({ status: 200, body: [record(-5), record(0), record(30)] });
    network.latest.drop();
    await vi.advanceTimersByTimeAsync(500);
    network.latest.open();
    await settle();
    expect(seriesTimes()).toEqual([-20, -10, -5, 0, 30]);
    const lastCall = new URL(
      asked.filter(({ path }) => path.startsWith("/api/iaq/data")).at(-1)?.path ?? "",
      location.href,
    );
    expect(lastCall.searchParams.get("enseigne")).toBe("Maison");
    expect(Date.parse(lastCall.searchParams.get("start") ?? "")).toBeLessThanOrEqual(START_MS);
  });

  test("readings between two polls are fetched, too", async () => {
    begin(false);
    await settle();
    answers["/api/latest"] = () => ({ status: 200, body: [record(2)] });
    answers["/api/iaq/data"] = () => ({ status: 200, body: [record(0), record(1), record(2)] });
    await feed.showRoom("Maison", "Bureau");
    await vi.advanceTimersByTimeAsync(REFRESH_MS);
    expect(seriesTimes()).toEqual([0, 1, 2]);
    expect(data.room(roomKey("Maison", "Bureau"))?.values.co2).toBe(602);
  });

  describe("when measurements were conflated", () => {
    beforeEach(async () => {
      begin();
      network.latest.open();
      network.latest.receive({ type: "measurement", ...record(0) });
      await vi.advanceTimersByTimeAsync(20);
      await feed.showRoom("Maison", "Bureau");
      network.latest.receive({ type: "measurement", ...record(1) });
    });

    function conflate(second: number): void {
      network.latest.receive({ type: "conflated", count: 9 });
      network.latest.receive({ type: "measurement", ...record(second) });
    }

    test("what was left out is read from the history, once for many", async () => {
      const before = calls("/api/iaq/data");
      answers["/api/iaq/data"] = () => ({ status: 200, body: [record(5), record(10), record(20)] });
      conflate(10);
      conflate(20);
      conflate(30);
      expect(calls("/api/iaq/data")).toBe(before);
      await vi.advanceTimersByTimeAsync(5_000);
      expect(calls("/api/iaq/data")).toBe(before + 1);
      expect(seriesTimes()).toEqual([0, 1, 5, 10, 20, 30]);
      const query = new URL(asked.at(-1)?.path ?? "", location.href).searchParams;
      expect(Date.parse(query.get("start") ?? "")).toBeLessThan(START_MS + 1_000);
      await vi.advanceTimersByTimeAsync(20_000);
      expect(calls("/api/iaq/data")).toBe(before + 1);
    });

    test("a history that cannot be had is asked for again, from the same time on", async () => {
      answers["/api/iaq/data"] = () => ({ status: 503, body: { title: "Busy" } });
      conflate(10);
      await vi.advanceTimersByTimeAsync(5_000);
      network.latest.receive({ type: "measurement", ...record(300) });
      answers["/api/iaq/data"] = () => ({ status: 200, body: [record(5)] });
      await vi.advanceTimersByTimeAsync(5_000);
      const starts = asked
        .filter(({ path }) => path.startsWith("/api/iaq/data"))
        .map(({ path }) => new URL(path, location.href).searchParams.get("start"));
      expect(starts.at(-1)).toBe(starts.at(-2));
      expect(seriesTimes()).toContain(5);
    });
  });

  test("nothing is read after a conflation while no room is shown", async () => {
    begin();
    network.latest.open();
    network.latest.receive({ type: "conflated", count: 9 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(calls("/api/iaq/data")).toBe(0);
  });

  test("a refused request is told in the server's words", async () => {
    answers["/api/iaq/data"] = () => ({
      status: 422,
      body: { title: "Refused", detail: "start is no time" },
    });
    begin();
    await expect(feed.showRoom("Maison", "Bureau")).rejects.toThrow("Refused: start is no time");
  });
});
