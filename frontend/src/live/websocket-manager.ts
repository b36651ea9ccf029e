/**
 * The page's one WebSocket: keeps it alive, repairs it for ever, and hands its messages to listeners.
 *
 * It knows nothing of rooms, charts or frameworks, and is what `window.wsManager` offers on the console.
 */

import { BACKOFF_BASE_MS, backoffDelayMs } from "./backoff";
import {
  CLOSE_ABNORMAL,
  CLOSE_GOING_AWAY,
  CLOSE_NORMAL,
  CLOSE_OVERLOADED,
  CLOSE_POLICY,
} from "./close-codes";
import type { ConnectionFailure, Listener, TopicPayloads } from "./connection-events";
import { onPageReturn } from "./page-return";
import { parseServerMessage, type ServerMessage } from "./protocol";

const PING_INTERVAL_MS = 30_000;
const PONG_DEADLINE_MS = 10_000;
const OPEN_DEADLINE_MS = 10_000;
/** A server that says goodbye wants its clients back spread out, not all at once. */
const GOING_AWAY_SPREAD_MS = 3_000;
/** Attempt number that counting starts from when the server says it is full. */
const OVERLOADED_FIRST_ATTEMPT = 4;

const TOPIC_OF_TYPE: Readonly<Record<string, readonly string[]>> = {
  measurement: ["measurements"],
  prediction: ["predictions"],
  action: ["actions"],
  alert: ["alerts"],
  module_update: ["modules"],
  module_state: ["modules"],
  metrics_update: ["system"],
  config_updated: ["config_updated", "config"],
  snapshot: ["snapshot"],
};

/** The part of the browser's WebSocket that is used, so that tests can stand in for it. */
export interface Socket {
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

const SOCKET_CONNECTING = 0;
const SOCKET_OPEN = 1;

export interface WebSocketManagerOptions {
  url?: string;
  maxReconnectAttempts?: number;
  createSocket?: (url: string) => Socket;
  random?: () => number;
}

export class WebSocketManager {
  isConnected = false;
  readonly subscriptions = new Set<string>();
  readonly listeners = new Map<string, Set<Listener>>();
  reconnectAttempts = 0;
  maxReconnectAttempts: number;
  reconnectDelay = BACKOFF_BASE_MS;
  shouldReconnect = true;

  private readonly url: string | undefined;
  private readonly createSocket: (url: string) => Socket;
  private readonly random: () => number;
  private socket: Socket | undefined;
  private openedBefore = false;
  private failureReported = false;
  private malformedReported = false;
  private receiptLogged = false;
  private stopWatchingPage: (() => void) | undefined;
  private lastMessageId: string | undefined;
  private reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  private openTimer: ReturnType<typeof setTimeout> | undefined;
  private pingTimer: ReturnType<typeof setInterval> | undefined;
  private pongTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WebSocketManagerOptions = {}) {
    this.url = options.url;
    this.maxReconnectAttempts = options.maxReconnectAttempts ?? Number.POSITIVE_INFINITY;
    this.createSocket = options.createSocket ?? ((url) => new WebSocket(url));
    this.random = options.random ?? Math.random;
  }

  /** Also the way to retry at once, and to come back after `disconnect()` or a refusal. */
  connect(): void {
    this.shouldReconnect = true;
    this.stopWatchingPage ??= onPageReturn(() => this.handlePageReturn());
    if (this.socket !== undefined && this.socket.readyState <= SOCKET_OPEN) return;
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = undefined;
    this.open();
  }

  disconnect(): void {
    this.shouldReconnect = false;
    this.stopWatchingPage?.();
    this.stopWatchingPage = undefined;
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = undefined;
    this.reconnectAttempts = 0;
    this.failureReported = false;
    const wasOpen = this.abandonSocket(CLOSE_NORMAL);
    if (wasOpen) {
      this.emit("disconnected", { code: CLOSE_NORMAL, reason: "closed by the page", willReconnect: false });
    }
  }

  subscribe(topics: readonly string[]): void {
    for (const topic of topics) this.subscriptions.add(topic);
    this.send({ type: "subscribe", topics, snapshot: true });
  }

  unsubscribe(topics: readonly string[]): void {
    for (const topic of topics) this.subscriptions.delete(topic);
    this.send({ type: "unsubscribe", topics });
  }

  on<Topic extends keyof TopicPayloads>(topic: Topic, listener: Listener<TopicPayloads[Topic]>): void;
  on(topic: string, listener: Listener<unknown>): void;
  on(topic: string, listener: Listener): void {
    const listeners = this.listeners.get(topic) ?? new Set();
    listeners.add(listener);
    this.listeners.set(topic, listeners);
  }

  off<Topic extends keyof TopicPayloads>(topic: Topic, listener: Listener<TopicPayloads[Topic]>): void;
  off(topic: string, listener: Listener<unknown>): void;
  off(topic: string, listener: Listener): void {
    const listeners = this.listeners.get(topic);
    listeners?.delete(listener);
    if (listeners?.size === 0) this.listeners.delete(topic);
  }

  /** Gives a server message to everyone who asked for it: listeners of `all` first, then of its topic. */
  notifyListeners(message: ServerMessage): void {
    this.emit("all", message);
    // A snapshot names the topic it is of, yet its list would surprise that topic's listeners.
    if (message.topic !== undefined && message.type !== "snapshot") {
      this.emit(message.topic, message.data ?? message);
      return;
    }
    for (const topic of TOPIC_OF_TYPE[message.type] ?? []) this.emit(topic, message);
  }

  startPing(): void {
    this.stopPing();
    this.pingTimer = setInterval(() => this.probe(), PING_INTERVAL_MS);
  }

  stopPing(): void {
    clearInterval(this.pingTimer);
    clearTimeout(this.pongTimer);
    this.pingTimer = undefined;
    this.pongTimer = undefined;
  }

  isConnectionActive(): boolean {
    return this.isConnected && this.socket?.readyState === SOCKET_OPEN;
  }

  private open(): void {
    const url = this.socketUrl();
    const resumeAfter = this.lastMessageId;
    let socket: Socket;
    try {
      socket = this.createSocket(url);
    } catch (cause) {
      this.handleLoss(CLOSE_ABNORMAL, String(cause));
      return;
    }
    this.socket = socket;
    this.openTimer = setTimeout(() => this.declareDead("no answer to the handshake"), OPEN_DEADLINE_MS);
    socket.onopen = () => this.handleOpen(url, resumeAfter);
    socket.onmessage = (event) => this.handleMessage(event.data);
    socket.onclose = (event) => this.handleLoss(event.code, event.reason);
    // The close event that always follows tells more; without a handler here nothing is lost.
    socket.onerror = null;
  }

  private handleOpen(url: string, resumeAfter: string | undefined): void {
    clearTimeout(this.openTimer);
    const reconnected = this.openedBefore;
    this.openedBefore = true;
    this.isConnected = true;
    this.failureReported = false;
    console.info(`[live] connected to ${url}`);
    const topics = [...this.subscriptions];
    if (topics.length > 0) {
      const from = resumeAfter === undefined ? { snapshot: true } : { since: resumeAfter };
      this.send({ type: "subscribe", topics, ...from });
    }
    this.startPing();
    this.emit("connected", { url, reconnected });
  }

  private handleMessage(text: unknown): void {
    // Any frame proves the peer alive, and only a working connection may reset the backoff:
    // a full server accepts the handshake and closes straight after.
    clearTimeout(this.pongTimer);
    this.pongTimer = undefined;
    this.reconnectAttempts = 0;

    const parsed = parseServerMessage(text);
    if (parsed.kind === "malformed" && !this.malformedReported) {
      this.malformedReported = true;
      console.warn(`[live] ignoring a malformed message (${parsed.reason}); further ones are not reported`);
    }
    if (parsed.kind !== "message") return;
    const { message } = parsed;
    if (!this.receiptLogged) {
      this.receiptLogged = true;
      console.info(`[live] first message received (${message.type})`);
    }
    if (typeof message.id === "string" && message.type !== "pong") this.lastMessageId = message.id;
    this.notifyListeners(message);
  }

  private handleLoss(code: number, reason: string): void {
    const wasConnected = this.isConnected;
    this.abandonSocket();
    const refused = code === CLOSE_POLICY;
    const gaveUp = this.reconnectAttempts >= this.maxReconnectAttempts;
    if (refused) this.shouldReconnect = false;
    const willReconnect = this.shouldReconnect && !gaveUp;

    if (wasConnected) {
      console.info(`[live] connection lost (code ${code}${reason === "" ? "" : `, ${reason}`})`);
      this.emit("disconnected", { code, reason, willReconnect });
    }
    if (!this.failureReported || !willReconnect) {
      this.failureReported = true;
      this.emit("error", { failure: failureOf({ refused, gaveUp, wasConnected }), code, reason });
    }
    // A listener may have disconnected or reconnected meanwhile.
    if (willReconnect && this.shouldReconnect && this.socket === undefined) this.scheduleReconnect(code);
  }

  private scheduleReconnect(code: number): void {
    if (code === CLOSE_OVERLOADED) {
      this.reconnectAttempts = Math.max(this.reconnectAttempts, OVERLOADED_FIRST_ATTEMPT);
    }
    const delayMs =
      code === CLOSE_GOING_AWAY
        ? this.random() * GOING_AWAY_SPREAD_MS
        : backoffDelayMs(this.reconnectAttempts, this.random, this.reconnectDelay);
    this.reconnectAttempts += 1;
    this.reconnectTimer = setTimeout(() => {
      this.reconnectTimer = undefined;
      this.open();
    }, delayMs);
    this.emit("reconnecting", { attempt: this.reconnectAttempts, nextAttemptAtMs: Date.now() + delayMs });
  }

  /** A socket whose network is gone stays open for minutes by itself: only an unanswered ping tells. */
  private probe(): void {
    if (!this.isConnectionActive()) return;
    this.send({ type: "ping" });
    this.pongTimer ??= setTimeout(() => this.declareDead("no answer to a ping"), PONG_DEADLINE_MS);
  }

  private declareDead(reason: string): void {
    // Closing a dead socket would wait for the peer's part of the handshake, so its events are not awaited.
    this.handleLoss(CLOSE_ABNORMAL, reason);
  }

  /** Returns whether the connection was up. */
  private abandonSocket(closeCode?: number): boolean {
    const socket = this.socket;
    const wasConnected = this.isConnected;
    this.socket = undefined;
    this.isConnected = false;
    clearTimeout(this.openTimer);
    this.stopPing();
    if (socket !== undefined) {
      socket.onopen = null;
      socket.onmessage = null;
      socket.onclose = null;
      if (socket.readyState === SOCKET_OPEN || socket.readyState === SOCKET_CONNECTING) {
        socket.close(closeCode);
      }
    }
    return wasConnected;
  }

  private send(message: Record<string, unknown>): void {
    if (this.isConnectionActive()) this.socket?.send(JSON.stringify(message));
  }

  private socketUrl(): string {
    const url = new URL(this.url ?? "/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    // Named at the handshake, so that nothing published between opening and subscribing is missed.
    if (this.subscriptions.size > 0) url.searchParams.set("topics", [...this.subscriptions].join(","));
    return url.href;
  }

  private emit<Topic extends keyof TopicPayloads>(topic: Topic, payload: TopicPayloads[Topic]): void;
  private emit(topic: string, payload: unknown): void;
  private emit(topic: string, payload: unknown): void {
    for (const listener of [...(this.listeners.get(topic) ?? [])]) {
      try {
        (listener as Listener<unknown>)(payload);
      } catch (cause) {
        console.error(`[live] a listener of "${topic}" failed`, cause);
      }
    }
  }

  private handlePageReturn(): void {
    if (this.isConnectionActive()) {
      this.probe();
    } else if (this.reconnectTimer !== undefined) {
      this.connect();
    }
  }
}

function failureOf(state: { refused: boolean; gaveUp: boolean; wasConnected: boolean }): ConnectionFailure {
  if (state.refused) return "refused";
  if (state.gaveUp) return "gave_up";
  return state.wasConnected ? "lost" : "unreachable";
}

declare global {
  interface Window {
    wsManager: WebSocketManager;
  }
}

/** The page's own connection, shared by everything on it. */
export const wsManager = new WebSocketManager();
window.wsManager = wsManager;
