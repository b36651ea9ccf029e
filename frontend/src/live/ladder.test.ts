import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Rung } from "./connection-events";
import type { FakeEventStream } from "./fake-event-stream";
import { type FakeNetwork, type FakeSocket, fakeNetwork } from "./fake-network";
import { WebSocketManager, type WebSocketManagerOptions } from "./websocket-manager";

let network: FakeNetwork;
let manager: WebSocketManager;
let rungs: Rung[];
let measurements: string[];

function start(options: WebSocketManagerOptions = {}): void {
  manager = new WebSocketManager({
    eventsUrl: "/api/events",
    createSocket: network.create,
    createEventStream: network.createStream,
    random: () => 1,
    ...options,
  });
  rungs = [];
  measurements = [];
  manager.on("rung", ({ rung }) => rungs.push(rung));
  manager.on("measurements", ({ id }) => measurements.push(id ?? ""));
  manager.subscribe(["measurements"]);
  manager.connect();
}

function heard(topic: string): unknown[] {
  const payloads: unknown[] = [];
  manager.on(topic, (payload) => payloads.push(payload));
  return payloads;
}

function measure(connection: FakeSocket | FakeEventStream, ...ids: string[]): void {
  for (const id of ids) {
    connection.receive({
      type: "measurement",
      id,
      timestamp: "2025-11-19T10:05:00Z",
      sensor_id: "bureau1",
      enseigne: "Maison",
      salle: "Bureau",
    });
  }
}

/** Opens the connection and lets the server answer to what it was asked. */
function join(connection: FakeSocket | FakeEventStream): void {
  connection.open();
  connection.receive({ type: "subscribed", topics: ["measurements"], recovered: true });
}

/** Two handshakes fail, as in a network that lets no WebSocket through. */
function breakUpgrades(): void {
  network.latest.drop();
  vi.advanceTimersByTime(500);
  network.latest.drop();
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(console, "info").mockImplementation(() => {});
  network = fakeNetwork();
  start();
});

afterEach(() => {
  manager.disconnect();
  vi.useRealTimers();
});

describe("going down", () => {
  test("one failed handshake is no reason for another way", () => {
    network.latest.drop();
    expect(network.streams).toHaveLength(0);
    expect(rungs).toEqual(["polling"]);
  });

  test("the second in a row opens a stream of events", () => {
    breakUpgrades();
    expect(network.streams).toHaveLength(1);
    expect(new URL(network.latestStream.url).pathname).toBe("/api/events");
    expect(network.latestStream.parameters).toEqual({ topics: "measurements", snapshot: "true" });
    expect(manager.rung).toBe("polling");

    join(network.latestStream);
    expect(manager.rung).toBe("events");
    expect(manager.isConnected).toBe(true);
    expect(manager.isConnectionActive()).toBe(true);
    measure(network.latestStream, "1");
    expect(measurements).toEqual(["1"]);
  });

  test("a socket that opens and says nothing counts as failed", () => {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      network.latest.openInSilence();
      vi.advanceTimersByTime(10_500);
    }
    expect(network.streams).toHaveLength(1);
  });

  test("a WebSocket that worked is given two attempts of its own first", () => {
    join(network.latest);
    network.latest.drop();
    expect(rungs).toEqual(["websocket", "polling"]);
    vi.advanceTimersByTime(500);
    network.latest.drop();
    expect(network.streams).toHaveLength(0);
    vi.advanceTimersByTime(1_000);
    network.latest.drop();
    expect(network.streams).toHaveLength(1);
  });

  test("a connection in between starts the count over", () => {
    network.latest.drop();
    vi.advanceTimersByTime(500);
    join(network.latest);
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.drop();
    expect(network.streams).toHaveLength(0);
  });

  test.each([1001, 1013])("a server that says %i instead of a welcome does speak WebSocket", (code) => {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      network.latest.openInSilence();
      network.latest.drop(code);
      vi.advanceTimersToNextTimer();
    }
    expect(network.streams).toHaveLength(0);
  });

  test.each([
    ["is refused", () => network.latestStream.refuse()],
    ["breaks off", () => network.latestStream.breakOff()],
    ["sends no welcome within 5 s", () => vi.advanceTimersByTime(5_000)],
  ])("a stream that %s leaves polling", (_, fail) => {
    breakUpgrades();
    fail();
    expect(network.latestStream.isClosed).toBe(true);
    expect(manager.rung).toBe("polling");
    expect(manager.isConnected).toBe(false);
  });

  test("a stream that was up and is lost is told", () => {
    const disconnected = heard("disconnected");
    breakUpgrades();
    join(network.latestStream);
    network.latestStream.breakOff();
    expect(rungs).toEqual(["polling", "events", "polling"]);
    expect(disconnected).toEqual([expect.objectContaining({ willReconnect: true })]);
  });

  test("a browser without events is left with polling", () => {
    manager.disconnect();
    start({
      createEventStream: () => {
        throw new ReferenceError("EventSource is not defined");
      },
    });
    breakUpgrades();
    expect(manager.rung).toBe("polling");
    vi.advanceTimersByTime(20_000);
    join(network.latest);
    expect(manager.rung).toBe("websocket");
  });
});

describe("climbing", () => {
  test("the WebSocket goes on being tried under a working stream, and closes it once it is up", () => {
    breakUpgrades();
    join(network.latestStream);
    vi.advanceTimersByTime(1_000);
    network.latest.drop();
    expect(manager.rung).toBe("events");
    vi.advanceTimersByTime(2_000);
    network.latest.openInSilence();
    expect(network.latestStream.isClosed).toBe(false);
    network.latest.receive({ type: "connection" });
    expect(network.latestStream.isClosed).toBe(true);
    expect(rungs).toEqual(["polling", "events", "websocket"]);
    vi.advanceTimersByTime(25_000);
    expect(network.streams).toHaveLength(1);
  });

  test("attempts under a working stream come at most every 60 s", () => {
    const waitsMs: number[] = [];
    breakUpgrades();
    join(network.latestStream);
    manager.on("reconnecting", ({ nextAttemptAtMs }) => waitsMs.push(nextAttemptAtMs - Date.now()));
    for (let attempt = 0; attempt < 12; attempt += 1) {
      const before = network.sockets.length;
      while (network.sockets.length === before) {
        vi.advanceTimersByTime(1_000);
        measure(network.latestStream, `${Date.now()}`);
      }
      network.latest.drop();
    }
    expect(waitsMs.slice(-2)).toEqual([60_000, 60_000]);
  });

  test("a WebSocket that opens while the stream is opening wins", () => {
    breakUpgrades();
    vi.advanceTimersByTime(1_000);
    join(network.latest);
    expect(network.latestStream.isClosed).toBe(true);
    vi.advanceTimersByTime(20_000);
    expect(network.streams).toHaveLength(1);
    expect(manager.rung).toBe("websocket");
  });

  test("a stream that failed is tried again after longer and longer", () => {
    breakUpgrades();
    const openedAtMs: number[] = [];
    for (let attempt = 0; attempt < 11; attempt += 1) {
      network.latestStream.refuse();
      const before = network.streams.length;
      const failedAtMs = Date.now();
      while (network.streams.length === before) {
        vi.advanceTimersByTime(100);
        if (network.latest.readyState === 0) network.latest.drop();
      }
      openedAtMs.push(Date.now() - failedAtMs);
    }
    expect(openedAtMs.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000]);
    expect(openedAtMs.at(-1)).toBe(60_000);
  });

  test("a stream that was up comes back spread out, as its server may be going away", () => {
    breakUpgrades();
    join(network.latestStream);
    network.latestStream.breakOff();
    vi.advanceTimersByTime(7_900);
    expect(network.streams).toHaveLength(1);
    vi.advanceTimersByTime(100);
    expect(network.streams).toHaveLength(2);
  });

  test("a retry that is asked for tries both at once", () => {
    breakUpgrades();
    network.latestStream.refuse();
    manager.connect();
    expect(network.sockets).toHaveLength(3);
    expect(network.streams).toHaveLength(2);
  });

  test("a page that comes back tries the WebSocket at once, and keeps a lively stream", () => {
    breakUpgrades();
    join(network.latestStream);
    document.dispatchEvent(new Event("visibilitychange"));
    expect(network.sockets).toHaveLength(3);
    expect(network.streams).toHaveLength(1);
  });

  test("listeners are told each time messages begin to come in", () => {
    const connected = heard("connected");
    breakUpgrades();
    join(network.latestStream);
    vi.advanceTimersByTime(1_000);
    join(network.latest);
    expect(connected).toEqual([
      expect.objectContaining({ rung: "events", reconnected: false }),
      expect.objectContaining({ rung: "websocket", reconnected: true }),
    ]);
  });
});

describe("going on where it was", () => {
  test("over every change of rung, with nothing missed and nothing twice", () => {
    join(network.latest);
    measure(network.latest, "1", "2");
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.drop();
    vi.advanceTimersByTime(1_000);
    network.latest.drop();

    expect(network.latestStream.parameters).toEqual({ topics: "measurements", since: "2" });
    join(network.latestStream);
    measure(network.latestStream, "3", "4");
    network.latestStream.breakOff();
    vi.advanceTimersByTime(2_000);
    network.latest.drop();
    vi.advanceTimersByTime(6_000);

    expect(network.latestStream.parameters).toEqual({ topics: "measurements", since: "4" });
    join(network.latestStream);
    const stream = network.latestStream;
    measure(stream, "5");
    network.latest.open();
    measure(stream, "6");
    // Ahead of the answer come messages that the replay repeats.
    measure(network.latest, "7");
    network.latest.receive({ type: "subscribed", topics: ["measurements"], recovered: true, replayed: 2 });
    measure(network.latest, "6", "7", "8");

    expect(network.latest.sent).toEqual([{ type: "subscribe", topics: ["measurements"], since: "5" }]);
    expect(measurements).toEqual(["1", "2", "3", "4", "5", "7", "6", "8"]);
  });

  test("a connection lost before it answered leaves the position where it was", () => {
    join(network.latest);
    measure(network.latest, "1");
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.receive({ type: "connection", id: "9" });
    measure(network.latest, "9");
    network.latest.drop();
    vi.advanceTimersByTime(500);
    join(network.latest);
    expect(network.latest.sent).toEqual([{ type: "subscribe", topics: ["measurements"], since: "1" }]);
  });

  test("other topics are had by another stream, from the same place on and without a word", () => {
    const disconnected = heard("disconnected");
    breakUpgrades();
    join(network.latestStream);
    measure(network.latestStream, "1");
    const first = network.latestStream;
    manager.subscribe(["alerts"]);
    expect(first.isClosed).toBe(true);
    expect(network.latestStream.parameters).toEqual({ topics: "measurements,alerts", since: "1" });
    expect(manager.isConnected).toBe(true);
    join(network.latestStream);
    manager.subscribe(["alerts"]);
    expect(network.streams).toHaveLength(2);
    manager.unsubscribe(["alerts"]);
    expect(network.latestStream.parameters).toEqual({ topics: "measurements", since: "1" });
    expect(rungs).toEqual(["polling", "events"]);
    expect(disconnected).toHaveLength(0);
  });

  test("a stream that stays quiet is opened anew, and only told lost when that fails", () => {
    breakUpgrades();
    join(network.latestStream);
    network.latest.close();
    vi.advanceTimersByTime(90_000);
    expect(network.streams).toHaveLength(2);
    expect(manager.rung).toBe("events");
    join(network.latestStream);
    expect(manager.rung).toBe("events");

    vi.advanceTimersByTime(90_000);
    expect(network.streams).toHaveLength(3);
    vi.advanceTimersByTime(5_000);
    expect(manager.rung).toBe("polling");
  });

  test("a quiet stream is doubted when the page comes back to it", () => {
    breakUpgrades();
    join(network.latestStream);
    vi.advanceTimersByTime(10_000);
    window.dispatchEvent(new Event("online"));
    expect(network.streams).toHaveLength(2);
    expect(manager.rung).toBe("events");
  });
});

describe("coming to an end", () => {
  test("1008 is not answered by trying another way", () => {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      join(network.latest);
      network.latest.drop(1008, "token expired");
      vi.advanceTimersByTime(120_000);
      expect(network.sockets).toHaveLength(attempt + 1);
      expect(network.streams).toHaveLength(0);
      manager.connect();
    }
  });

  test("1008 for the WebSocket ends the attempts to climb, not the stream that works", () => {
    breakUpgrades();
    join(network.latestStream);
    vi.advanceTimersByTime(1_000);
    network.latest.openInSilence();
    network.latest.drop(1008);
    expect(manager.rung).toBe("events");
    network.latestStream.breakOff();
    vi.advanceTimersByTime(120_000);
    expect(network.sockets).toHaveLength(3);
    expect(network.streams).toHaveLength(1);
  });

  test("disconnecting closes whatever is open and plans nothing", () => {
    const disconnected = heard("disconnected");
    breakUpgrades();
    join(network.latestStream);
    manager.disconnect();
    expect(network.latestStream.isClosed).toBe(true);
    expect(disconnected).toEqual([expect.objectContaining({ code: 1000, willReconnect: false })]);
    vi.advanceTimersByTime(300_000);
    expect(network.sockets).toHaveLength(2);
    expect(network.streams).toHaveLength(1);
    expect(manager.isConnected).toBe(false);
  });

  test("a listener that disconnects while the stream comes up is obeyed", () => {
    manager.on("connected", () => manager.disconnect());
    breakUpgrades();
    join(network.latestStream);
    vi.advanceTimersByTime(300_000);
    expect(network.streams).toHaveLength(1);
    expect(manager.isConnected).toBe(false);
  });

  test("attempts that are allowed no more leave the stream alone", () => {
    manager.maxReconnectAttempts = 2;
    const errors = heard("error");
    breakUpgrades();
    join(network.latestStream);
    vi.advanceTimersByTime(1_000);
    network.latest.drop();
    expect(errors.at(-1)).toMatchObject({ failure: "gave_up" });
    expect(manager.rung).toBe("events");
    vi.advanceTimersByTime(80_000);
    expect(network.sockets).toHaveLength(3);
  });

  test("without an address for events there are none", () => {
    manager.disconnect();
    manager = new WebSocketManager({ createSocket: network.create, createEventStream: network.createStream });
    manager.connect();
    breakUpgrades();
    expect(network.streams).toHaveLength(0);
  });
});
