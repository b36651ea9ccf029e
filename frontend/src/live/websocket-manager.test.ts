import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type FakeNetwork, fakeNetwork } from "./fake-network";
import { WebSocketManager, type WebSocketManagerOptions } from "./websocket-manager";

const MEASUREMENT = {
  type: "measurement",
  id: "7",
  timestamp: "2025-11-19T10:05:00.000Z",
  sensor_id: "bureau1",
  enseigne: "Maison",
  salle: "Bureau",
  co2: 645,
};

let network: FakeNetwork;
let manager: WebSocketManager;

function start(options: WebSocketManagerOptions = {}): void {
  manager = new WebSocketManager({ createSocket: network.create, random: () => 1, ...options });
}

function heard(topic: string): unknown[] {
  const payloads: unknown[] = [];
  manager.on(topic, (payload) => payloads.push(payload));
  return payloads;
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

describe("connecting", () => {
  test("names its topics at the handshake and asks for a snapshot", () => {
    manager.subscribe(["measurements", "alerts"]);
    manager.connect();
    network.latest.open();
    expect(new URL(network.latest.url).pathname).toBe("/ws");
    expect(new URL(network.latest.url).searchParams.get("topics")).toBe("measurements,alerts");
    expect(network.latest.sent).toEqual([
      { type: "subscribe", topics: ["measurements", "alerts"], snapshot: true },
    ]);
    expect(manager.isConnected).toBe(true);
    expect(manager.isConnectionActive()).toBe(true);
    expect(manager.subscriptions).toEqual(new Set(["measurements", "alerts"]));
  });

  test("subscribing and unsubscribing while connected is sent at once", () => {
    manager.connect();
    network.latest.open();
    manager.subscribe(["modules"]);
    manager.unsubscribe(["modules"]);
    expect(network.latest.sent).toEqual([
      { type: "subscribe", topics: ["modules"], snapshot: true },
      { type: "unsubscribe", topics: ["modules"] },
    ]);
    expect(manager.subscriptions.size).toBe(0);
  });

  test("connecting twice opens one socket", () => {
    manager.connect();
    manager.connect();
    network.latest.open();
    manager.connect();
    expect(network.sockets).toHaveLength(1);
  });

  test("a handshake that is never answered counts as failed", () => {
    const errors = heard("error");
    manager.connect();
    vi.advanceTimersByTime(10_000);
    expect(errors).toEqual([expect.objectContaining({ failure: "unreachable" })]);
    vi.advanceTimersByTime(500);
    expect(network.sockets).toHaveLength(2);
  });
});

describe("reconnecting", () => {
  test("never gives up, and waits longer up to the ceiling", () => {
    const waitsMs: number[] = [];
    manager.on("reconnecting", ({ nextAttemptAtMs }) => waitsMs.push(nextAttemptAtMs - Date.now()));
    manager.connect();
    for (let attempt = 0; attempt < 100; attempt += 1) {
      network.latest.drop();
      vi.advanceTimersToNextTimer();
    }
    expect(network.sockets).toHaveLength(101);
    expect(waitsMs.slice(0, 7)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000]);
    expect(waitsMs.at(-1)).toBe(20_000);
  });

  test("jitter is full: a low draw comes back almost at once", () => {
    start({ random: () => 0 });
    manager.connect();
    network.latest.drop();
    vi.advanceTimersByTime(100);
    expect(network.sockets).toHaveLength(2);
  });

  test("the first failure is told at once, later ones of the same outage are not", () => {
    const errors = heard("error");
    manager.connect();
    network.latest.drop();
    expect(errors).toEqual([expect.objectContaining({ failure: "unreachable", code: 1006 })]);
    vi.advanceTimersByTime(500);
    network.latest.drop();
    expect(errors).toHaveLength(1);

    vi.advanceTimersByTime(1_000);
    network.latest.open();
    network.latest.drop();
    expect(errors).toHaveLength(2);
    expect(errors[1]).toMatchObject({ failure: "lost" });
  });

  test("waiting starts over only after a message came through", () => {
    const connected = heard("connected");
    manager.connect();
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.openInSilence();
    expect(manager.reconnectAttempts).toBe(1);
    expect(connected).toHaveLength(0);
    network.latest.receive({ type: "connection", status: "connected" });
    expect(manager.reconnectAttempts).toBe(0);
    expect(connected).toHaveLength(1);
  });

  test("a socket that opens and stays silent counts as failed", () => {
    manager.connect();
    network.latest.openInSilence();
    vi.advanceTimersByTime(10_500);
    expect(network.sockets).toHaveLength(2);
  });

  test("asks for what it missed since the last message", () => {
    manager.subscribe(["measurements"]);
    manager.connect();
    network.latest.open();
    network.latest.receive({ type: "subscribed", topics: ["measurements"] });
    network.latest.receive(MEASUREMENT);
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.open();
    expect(network.latest.sent).toEqual([{ type: "subscribe", topics: ["measurements"], since: "7" }]);
  });

  test("asks for what it missed of everything when it named no topic", () => {
    manager.connect();
    network.latest.open();
    network.latest.receive(MEASUREMENT);
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.open();
    expect(network.latest.sent).toEqual([{ type: "subscribe", topics: ["all"], since: "7" }]);
  });

  test("tells listeners whether it is the first connection", () => {
    const connected = heard("connected");
    manager.connect();
    network.latest.open();
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.open();
    expect(connected).toEqual([
      expect.objectContaining({ reconnected: false }),
      expect.objectContaining({ reconnected: true }),
    ]);
  });

  test("disconnect and connect force a new connection whose later drops are repaired", () => {
    manager.connect();
    network.latest.open();
    manager.disconnect();
    expect(manager.isConnected).toBe(false);
    manager.connect();
    expect(network.sockets).toHaveLength(2);
    network.latest.open();
    network.latest.drop();
    vi.advanceTimersByTime(500);
    expect(network.sockets).toHaveLength(3);
  });

  test("after disconnect nothing reconnects", () => {
    manager.connect();
    network.latest.open();
    manager.disconnect();
    vi.advanceTimersByTime(60_000);
    expect(network.sockets).toHaveLength(1);
  });

  test("stops after the attempts it is allowed, and says so", () => {
    start({ maxReconnectAttempts: 2 });
    const errors = heard("error");
    manager.connect();
    for (let attempt = 0; attempt < 3; attempt += 1) {
      network.latest.drop();
      vi.advanceTimersByTime(20_000);
    }
    expect(network.sockets).toHaveLength(3);
    expect(errors.at(-1)).toMatchObject({ failure: "gave_up" });
  });

  test("a listener that disconnects on the error is obeyed", () => {
    manager.on("error", () => manager.disconnect());
    manager.connect();
    network.latest.drop();
    vi.advanceTimersByTime(60_000);
    expect(network.sockets).toHaveLength(1);
  });
});

describe("close codes", () => {
  test.each([
    [0, 100],
    [0.25, 2_000],
    [0.5, 4_000],
    [1, 8_000],
  ])("after 1001 clients come back spread out: a draw of %d after %i ms", (draw, waitMs) => {
    start({ random: () => draw });
    manager.connect();
    network.latest.open();
    network.latest.drop(1001);
    vi.advanceTimersByTime(waitMs - 1);
    expect(network.sockets).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(network.sockets).toHaveLength(2);
  });

  test("1008 stops until somebody connects again", () => {
    const errors = heard("error");
    manager.connect();
    network.latest.open();
    network.latest.drop(1008, "token expired");
    vi.advanceTimersByTime(120_000);
    expect(network.sockets).toHaveLength(1);
    expect(errors).toEqual([{ failure: "refused", code: 1008, reason: "token expired" }]);
    manager.connect();
    expect(network.sockets).toHaveLength(2);
  });

  test("1013 backs off from a larger start", () => {
    manager.connect();
    network.latest.open();
    network.latest.drop(1013);
    vi.advanceTimersByTime(7_999);
    expect(network.sockets).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(network.sockets).toHaveLength(2);
  });

  test("1013 is jittered from the first time on, and a server that stays full is left alone for longer", () => {
    const waitsMs: number[] = [];
    start({ random: () => 0.5 });
    manager.on("reconnecting", ({ nextAttemptAtMs }) => waitsMs.push(nextAttemptAtMs - Date.now()));
    manager.connect();
    for (let attempt = 0; attempt < 4; attempt += 1) {
      network.latest.openInSilence();
      network.latest.drop(1013);
      vi.advanceTimersToNextTimer();
    }
    expect(waitsMs).toEqual([4_000, 8_000, 10_000, 10_000]);
  });
});

describe("liveness", () => {
  test("pings every 30 s and gives up a peer that does not answer within 10 s", () => {
    const disconnected = heard("disconnected");
    manager.connect();
    network.latest.open();
    vi.advanceTimersByTime(30_000);
    expect(network.latest.sent).toEqual([{ type: "ping" }]);
    vi.advanceTimersByTime(9_999);
    expect(disconnected).toHaveLength(0);
    vi.advanceTimersByTime(1);
    expect(disconnected).toHaveLength(1);
    vi.advanceTimersByTime(500);
    expect(network.sockets).toHaveLength(2);
  });

  test("a pong keeps the connection", () => {
    const disconnected = heard("disconnected");
    manager.connect();
    network.latest.open();
    for (let round = 0; round < 10; round += 1) {
      vi.advanceTimersByTime(30_000);
      network.latest.receive({ type: "pong" });
    }
    expect(disconnected).toHaveLength(0);
    expect(network.latest.sent).toHaveLength(10);
  });

  test("coming back to the page probes an open connection", () => {
    manager.connect();
    network.latest.open();
    document.dispatchEvent(new Event("visibilitychange"));
    expect(network.latest.sent).toEqual([{ type: "ping" }]);
  });

  test.each([
    ["online", () => window.dispatchEvent(new Event("online"))],
    ["visible", () => document.dispatchEvent(new Event("visibilitychange"))],
  ])("%s retries at once instead of waiting", (_, comeBack) => {
    manager.connect();
    network.latest.drop();
    comeBack();
    expect(network.sockets).toHaveLength(2);
    vi.advanceTimersByTime(500);
    expect(network.sockets).toHaveLength(2);
  });
});

describe("dispatch", () => {
  beforeEach(() => {
    manager.connect();
    network.latest.open();
  });

  test.each([
    [MEASUREMENT, ["measurements"]],
    [{ type: "prediction" }, ["predictions"]],
    [{ type: "action" }, ["actions"]],
    [{ type: "alert", alert: {} }, ["alerts"]],
    [{ type: "module_update" }, ["modules"]],
    [{ type: "module_state" }, ["modules"]],
    [{ type: "metrics_update", data: {} }, ["system"]],
    [{ type: "config_updated", config: {} }, ["config_updated", "config"]],
    [{ type: "snapshot", topic: "measurements", data: [] }, ["snapshot"]],
    [{ type: "pong" }, []],
    [{ type: "conflated", count: 3 }, []],
    [{ type: "stats_update", data: {} }, []],
    [{ type: "error", code: "rate_limited" }, []],
  ])("%o goes to %o, and always to all", (message, topics) => {
    const heardBy = new Map(
      [
        "measurements",
        "predictions",
        "actions",
        "alerts",
        "modules",
        "system",
        "config_updated",
        "config",
        "snapshot",
        "error",
      ].map((topic) => [topic, heard(topic)]),
    );
    const all = heard("all");
    network.latest.receive(message);
    expect(
      [...heardBy]
        .filter(([, payloads]) => payloads.length > 0)
        .map(([topic]) => topic)
        .sort(),
    ).toEqual([...topics].sort());
    expect(all).toEqual([message]);
  });

  test("a message wrapped in a topic reaches that topic unwrapped", () => {
    const alerts = heard("alerts");
    network.latest.receive({ topic: "alerts", data: { type: "alert_email_sent" } });
    expect(alerts).toEqual([{ type: "alert_email_sent" }]);
  });

  test("a topic without data hands over the whole message", () => {
    const modules = heard("modules");
    network.latest.receive({ topic: "modules", state: "open" });
    expect(modules).toEqual([{ topic: "modules", state: "open" }]);
  });

  test("a listener that throws does not stop the others", () => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    manager.on("measurements", () => {
      throw new Error("broken widget");
    });
    const measurements = heard("measurements");
    network.latest.receive(MEASUREMENT);
    expect(measurements).toEqual([MEASUREMENT]);
    expect(error).toHaveBeenCalledOnce();
  });

  test("off ends the subscription of one listener only", () => {
    const kept = heard("measurements");
    const dropped = vi.fn();
    manager.on("measurements", dropped);
    manager.off("measurements", dropped);
    network.latest.receive(MEASUREMENT);
    expect(dropped).not.toHaveBeenCalled();
    expect(kept).toHaveLength(1);
  });

  test("malformed messages are reported once and survive", () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const all = heard("all");
    network.latest.receiveText("{");
    network.latest.receiveText("[]");
    network.latest.receiveText(new ArrayBuffer(2));
    network.latest.receive({ type: "from_the_future" });
    expect(all).toHaveLength(0);
    expect(warn).toHaveBeenCalledOnce();
    expect(manager.isConnectionActive()).toBe(true);
  });
});
