/** A WebSocket of one's own for a component: reactive state, parsed messages, closed on unmount. */

import { getCurrentScope, onScopeDispose, type ShallowRef, shallowRef } from "vue";
import type { ErrorEvent, Listener } from "../live/connection-events";
import type { ServerMessage } from "../live/protocol";
import { WebSocketManager, type WebSocketManagerOptions } from "../live/websocket-manager";

const RECONNECT_ATTEMPTS_DEFAULT = 5;

export interface UseWebSocketOptions extends Omit<WebSocketManagerOptions, "url" | "maxReconnectAttempts"> {
  topics?: readonly string[];
  reconnectAttempts?: number;
  /** Connect at once; true by default. */
  immediate?: boolean;
  onMessage?: Listener<ServerMessage>;
}

export interface UseWebSocket {
  isConnected: ShallowRef<boolean>;
  error: ShallowRef<ErrorEvent | undefined>;
  lastMessage: ShallowRef<ServerMessage | undefined>;
  connect(): void;
  disconnect(): void;
  subscribe(topics: readonly string[]): void;
  unsubscribe(topics: readonly string[]): void;
}

export function useWebSocket(url: string, options: UseWebSocketOptions = {}): UseWebSocket {
  const { topics = [], reconnectAttempts, immediate = true, onMessage, ...managerOptions } = options;
  const manager = new WebSocketManager({
    ...managerOptions,
    url,
    maxReconnectAttempts: reconnectAttempts ?? RECONNECT_ATTEMPTS_DEFAULT,
  });
  const isConnected = shallowRef(false);
  const error = shallowRef<ErrorEvent>();
  const lastMessage = shallowRef<ServerMessage>();

  manager.on("connected", () => {
    isConnected.value = true;
    error.value = undefined;
  });
  manager.on("disconnected", () => {
    isConnected.value = false;
  });
  manager.on("error", (event) => {
    error.value = event;
  });
  manager.on("all", (message) => {
    lastMessage.value = message;
    onMessage?.(message);
  });

  manager.subscribe(topics);
  if (immediate) manager.connect();
  if (getCurrentScope() !== undefined) onScopeDispose(() => manager.disconnect());

  return {
    isConnected,
    error,
    lastMessage,
    connect: () => manager.connect(),
    disconnect: () => manager.disconnect(),
    subscribe: (wanted) => manager.subscribe(wanted),
    unsubscribe: (unwanted) => manager.unsubscribe(unwanted),
  };
}
