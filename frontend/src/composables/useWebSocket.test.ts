import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { effectScope } from "vue";
import { type FakeNetwork, fakeNetwork } from "../live/fake-network";
import { type UseWebSocket, type UseWebSocketOptions, useWebSocket } from "./useWebSocket";

let network: FakeNetwork;

function mount(options: UseWebSocketOptions = {}): { unmount(): void; socket: UseWebSocket } {
  const scope = effectScope();
  const socket = scope.run(() =>
    useWebSocket("/ws", { createSocket: network.create, random: () => 1, ...options }),
  );
  if (socket === undefined) throw new Error("the scope did not run");
  return { socket, unmount: () => scope.stop() };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(console, "info").mockImplementation(() => {});
  network = fakeNetwork();
});

afterEach(() => vi.useRealTimers());

test("connection and parsed messages are reactive", () => {
  const { socket, unmount } = mount({ topics: ["system"] });
  network.latest.open();
  network.latest.receive({ type: "metrics_update", data: { cpu: 7 } });
  expect(socket.isConnected.value).toBe(true);
  expect(socket.lastMessage.value).toEqual({ type: "metrics_update", data: { cpu: 7 } });
  expect(network.latest.url).toContain("topics=system");
  unmount();
});

test("gives up after five attempts and holds the error", () => {
  const { socket, unmount } = mount();
  for (let attempt = 0; attempt < 10; attempt += 1) {
    network.latest.drop();
    vi.advanceTimersByTime(20_000);
  }
  expect(network.sockets).toHaveLength(6);
  expect(socket.error.value).toMatchObject({ failure: "gave_up" });
  unmount();
});

test("is closed when its component goes", () => {
  const { socket, unmount } = mount();
  network.latest.open();
  unmount();
  expect(socket.isConnected.value).toBe(false);
  vi.advanceTimersByTime(60_000);
  expect(network.sockets).toHaveLength(1);
});
