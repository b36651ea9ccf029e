import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Credentials } from "../access/credentials";
import { type FakeNetwork, fakeNetwork } from "./fake-network";
import { WebSocketManager } from "./websocket-manager";

let network: FakeNetwork;
let manager: WebSocketManager;
/** What the session holds, and what it has next; undefined when it cannot be renewed now. */
let held: string | undefined;
let next: string | undefined;
let renewable: boolean;
let renewals: number;

const credentials: Credentials = {
  get token() {
    return held;
  },
  get renewable() {
    return renewable;
  },
  tokenAfter: async (refused) => {
    if (held !== refused) return held;
    renewals += 1;
    if (next !== undefined) held = next;
    return next;
  },
};

function heard(topic: string): unknown[] {
  const payloads: unknown[] = [];
  manager.on(topic, (payload) => payloads.push(payload));
  return payloads;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(console, "info").mockImplementation(() => {});
  held = "one";
  next = "two";
  renewable = true;
  renewals = 0;
  network = fakeNetwork();
  manager = new WebSocketManager({
    credentials,
    eventsUrl: "/api/events",
    createSocket: network.create,
    createEventStream: network.createStream,
    random: () => 1,
  });
});

afterEach(() => {
  manager.disconnect();
  vi.useRealTimers();
});

describe("WebSocket", () => {
  test("offers the token beside its own protocol, and not in the address", () => {
    manager.connect();
    expect(network.latest.protocols).toEqual(["iaqverse.v1", "bearer.one"]);
    expect(network.latest.url).not.toContain("one");
  });

  test("where nobody has to log in, no protocol is offered and a refusal is final", async () => {
    held = undefined;
    renewable = false;
    const errors = heard("error");
    manager.connect();
    expect(network.latest.protocols).toBeUndefined();
    network.latest.drop(1008);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(network.sockets).toHaveLength(1);
    expect(errors).toEqual([expect.objectContaining({ failure: "refused" })]);
    expect(renewals).toBe(0);
  });

  test("goes on with the next token before the present one ends", async () => {
    manager.connect();
    network.latest.open();
    network.latest.receive({ type: "token_expiring", expires_at: "2025-11-19T10:05:00Z" });
    await vi.advanceTimersByTimeAsync(0);
    expect(network.latest.sent).toEqual([{ type: "auth", token: "two" }]);
    expect(network.sockets).toHaveLength(1);

    next = "three";
    network.latest.receive({ type: "token_expiring", expires_at: "2025-11-19T10:15:00Z" });
    await vi.advanceTimersByTimeAsync(0);
    expect(network.latest.sent.at(-1)).toEqual({ type: "auth", token: "three" });
    expect(renewals).toBe(2);
  });

  test("a token the session has renewed already is sent as it is", async () => {
    manager.connect();
    network.latest.open();
    held = "newer";
    network.latest.receive({ type: "token_expiring", expires_at: "2025-11-19T10:05:00Z" });
    await vi.advanceTimersByTimeAsync(0);
    expect(network.latest.sent).toEqual([{ type: "auth", token: "newer" }]);
    expect(renewals).toBe(0);
  });

  test("refused, it renews first and comes back with the new token", async () => {
    manager.connect();
    network.latest.open();
    network.latest.receive({ type: "error", code: "token_expired" });
    network.latest.drop(1008, "token_expired");
    expect(network.sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(500);
    expect(network.sockets).toHaveLength(2);
    expect(network.latest.protocols).toEqual(["iaqverse.v1", "bearer.two"]);
    expect(renewals).toBe(1);
    expect(manager.shouldReconnect).toBe(true);
  });

  test("a server that takes no token at all is not hammered", async () => {
    let count = 0;
    manager.connect();
    for (let second = 0; second < 60; second += 1) {
      if (network.latest.readyState < 2) {
        count += 1;
        next = `token ${count}`;
        // Even a message that came through before does not start the waiting over.
        network.latest.open();
        network.latest.drop(1008, "revoked");
      }
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(count).toBeLessThan(10);
    expect(renewals).toBeLessThan(10);
  });

  test("a session that cannot be renewed now is no end of it", async () => {
    next = undefined;
    manager.connect();
    network.latest.drop(1008);
    await vi.advanceTimersByTimeAsync(500);
    expect(network.sockets).toHaveLength(2);
  });
});

describe("events", () => {
  function fallToEvents(): void {
    manager.connect();
    network.latest.drop();
    vi.advanceTimersByTime(500);
    network.latest.drop();
  }

  test("carry the token in their address, which is told to nobody", () => {
    const connected = heard("connected");
    fallToEvents();
    network.latestStream.open();
    expect(network.latestStream.parameters.token).toBe("one");
    expect(JSON.stringify(connected)).not.toContain("one");
    expect(JSON.stringify(vi.mocked(console.info).mock.calls)).not.toContain("token=");
  });

  test("are opened anew with the next token before the present one ends", async () => {
    fallToEvents();
    network.latestStream.open();
    network.latestStream.receive({ type: "token_expiring", expires_at: "2025-11-19T10:05:00Z" });
    await vi.advanceTimersByTimeAsync(0);
    expect(network.streams).toHaveLength(2);
    expect(network.latestStream.parameters.token).toBe("two");
  });

  test("refused, they come back with a new token", async () => {
    fallToEvents();
    const stream = network.latestStream;
    stream.open();
    stream.receive({ type: "error", code: "token_expired" });
    stream.breakOff();
    await vi.advanceTimersByTimeAsync(8_000);
    expect(network.latestStream).not.toBe(stream);
    expect(network.latestStream.parameters.token).toBe("two");
  });
});
