/**
 * The page's one live connection: hands the server's messages to listeners, whichever way they come.
 *
 * It knows nothing of rooms, charts or frameworks, and is what `window.wsManager` offers on the console.
 */

import type { Credentials } from "../access/credentials";
import { session } from "../access/page-session";
import { BACKOFF_BASE_MS } from "./backoff";
import type { Listener, Rung, TopicPayloads } from "./connection-events";
import { type EventStream, type EventStreamEvents, EventStreamTransport } from "./event-stream-transport";
import { Ladder, type ReconnectPolicy } from "./ladder";
import { onPageReturn } from "./page-return";
import { parseServerMessage, type ServerMessage, topicsOfType } from "./protocol";
import { StreamPosition } from "./stream-position";
import { type Socket, WebSocketTransport } from "./websocket-transport";

/** Codes of the server's errors after which another token may help. */
const TOKEN_ERRORS: ReadonlySet<string> = new Set(["token_expired", "revoked"]);

export interface WebSocketManagerOptions {
  url?: string;
  /** Where the same messages are had as server-sent events; without it there are none. */
  eventsUrl?: string;
  maxReconnectAttempts?: number;
  /** Without them the server is told nothing of who listens. */
  credentials?: Credentials;
  createSocket?: (url: string, protocols?: string[]) => Socket;
  createEventStream?: (url: string) => EventStream;
  random?: () => number;
}

export class WebSocketManager implements ReconnectPolicy {
  readonly subscriptions = new Set<string>();
  readonly listeners = new Map<string, Set<Listener>>();
  reconnectAttempts = 0;
  maxReconnectAttempts: number;
  reconnectDelay = BACKOFF_BASE_MS;
  shouldReconnect = true;

  private readonly url: string;
  private readonly credentials: Credentials | undefined;
  /** The last one the server was told. */
  private usedToken: string | undefined;
  private readonly position = new StreamPosition();
  private readonly ladder: Ladder;
  private malformedReported = false;
  private receiptLogged = false;
  private stopWatchingPage: (() => void) | undefined;

  constructor(options: WebSocketManagerOptions = {}) {
    const {
      eventsUrl,
      credentials,
      createSocket = (url, protocols) => new WebSocket(url, protocols),
      createEventStream = (url) => new EventSource(url),
      random = Math.random,
    } = options;
    this.credentials = credentials;
    this.url = options.url ?? "/ws";
    this.maxReconnectAttempts = options.maxReconnectAttempts ?? Number.POSITIVE_INFINITY;
    this.ladder = new Ladder({
      policy: this,
      openSocket: (events) =>
        new WebSocketTransport(this.socketUrl(), events, createSocket, this.takeToken()),
      openStream:
        eventsUrl === undefined
          ? undefined
          : (events) => this.openStream(eventsUrl, events, createEventStream),
      renewToken: () => this.renewToken(),
      subscribe: (socket) => this.subscribeSocket(socket),
      message: (text) => this.handleMessage(text),
      emit: (name, payload) => this.emit(name, payload),
      random,
    });
  }

  /** Messages are pushed, by whichever way. */
  get isConnected(): boolean {
    return this.ladder.isUp;
  }

  /** Undefined until the first attempt has ended one way or the other. */
  get rung(): Rung | undefined {
    return this.ladder.rung;
  }

  /** Also the way to retry at once, and to come back after `disconnect()` or a refusal. */
  connect(): void {
    this.shouldReconnect = true;
    this.stopWatchingPage ??= onPageReturn(() => this.ladder.wake());
    this.ladder.climb();
  }

  disconnect(): void {
    this.shouldReconnect = false;
    this.stopWatchingPage?.();
    this.stopWatchingPage = undefined;
    this.ladder.leave();
  }

  subscribe(topics: readonly string[]): void {
    const countBefore = this.subscriptions.size;
    for (const topic of topics) this.subscriptions.add(topic);
    this.ladder.socket?.send({ type: "subscribe", topics, snapshot: true });
    if (this.subscriptions.size !== countBefore) this.ladder.reopenStream();
  }

  unsubscribe(topics: readonly string[]): void {
    const countBefore = this.subscriptions.size;
    for (const topic of topics) this.subscriptions.delete(topic);
    this.ladder.socket?.send({ type: "unsubscribe", topics });
    if (this.subscriptions.size !== countBefore) this.ladder.reopenStream();
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
    for (const topic of topicsOfType(message.type)) this.emit(topic, message);
  }

  startPing(): void {
    this.ladder.socket?.startPing();
  }

  stopPing(): void {
    this.ladder.socket?.stopPing();
  }

  isConnectionActive(): boolean {
    return this.ladder.isOpen;
  }

  private subscribeSocket(socket: WebSocketTransport): void {
    const { since } = this.position;
    // Who named no topic is sent everything from the handshake on, and only has to ask for what was missed.
    if (this.subscriptions.size === 0 && since === undefined) return;
    const topics = this.subscriptions.size === 0 ? ["all"] : [...this.subscriptions];
    this.position.resume();
    socket.send({ type: "subscribe", topics, ...(since === undefined ? { snapshot: true } : { since }) });
  }

  private openStream(
    path: string,
    events: EventStreamEvents,
    createEventStream: (url: string) => EventStream,
  ): EventStreamTransport {
    const url = new URL(path, location.href);
    this.nameTopics(url);
    const { since } = this.position;
    this.position.resume();
    if (since === undefined) url.searchParams.set("snapshot", "true");
    else url.searchParams.set("since", since);
    return new EventStreamTransport(url.href, events, createEventStream, this.takeToken());
  }

  private handleMessage(text: unknown): void {
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
    this.mindToken(message);
    if (this.position.take(message)) this.notifyListeners(message);
  }

  /** What the server says of the token, it says to this client alone. */
  private mindToken(message: ServerMessage): void {
    if (message.type === "token_expiring") void this.goOnWithNextToken();
    // The close that follows a WebSocket's error says so as well; the end of a stream does not.
    if (message.type === "error" && TOKEN_ERRORS.has(message.code)) void this.renewToken();
  }

  private async goOnWithNextToken(): Promise<void> {
    const token = await this.renewToken();
    if (token === undefined) return;
    if (this.ladder.socket === undefined) {
      this.ladder.reopenStream();
      return;
    }
    this.usedToken = token;
    this.ladder.socket.send({ type: "auth", token });
  }

  private renewToken(): Promise<string | undefined> | undefined {
    const { credentials } = this;
    return credentials?.renewable === true ? credentials.tokenAfter(this.usedToken) : undefined;
  }

  private takeToken(): string | undefined {
    this.usedToken = this.credentials?.token;
    return this.usedToken;
  }

  private socketUrl(): string {
    const url = new URL(this.url, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    // Named at the handshake, so that nothing published between opening and subscribing is missed.
    this.nameTopics(url);
    return url.href;
  }

  private nameTopics(url: URL): void {
    if (this.subscriptions.size > 0) url.searchParams.set("topics", [...this.subscriptions].join(","));
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
}

declare global {
  interface Window {
    wsManager: WebSocketManager;
  }
}

/** The page's own connection, shared by everything on it. */
export const wsManager = new WebSocketManager({ eventsUrl: "/api/events", credentials: session });
window.wsManager = wsManager;
