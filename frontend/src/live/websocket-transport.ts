/** One WebSocket: notices when it is up, asks whether the peer is alive, and tells when it is lost. */

import { CLOSE_ABNORMAL } from "./close-codes";
import type { Loss, Transport, TransportEvents } from "./transport";

const PING_INTERVAL_MS = 30_000;
const PONG_DEADLINE_MS = 10_000;
/** For the handshake and the first message: some proxies let a socket open and then nothing through it. */
const WELCOME_DEADLINE_MS = 10_000;

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

const SOCKET_OPEN = 1;

const PROTOCOL = "iaqverse.v1";
/** The only place for a token in a browser's handshake that no log writes down. */
const TOKEN_PROTOCOL = "bearer.";

export class WebSocketTransport implements Transport {
  private readonly socket: Socket;
  private isUp = false;
  private isClosed = false;
  private pingTimer: ReturnType<typeof setInterval> | undefined;
  private pongTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly welcomeTimer: ReturnType<typeof setTimeout>;

  constructor(
    readonly url: string,
    private readonly events: TransportEvents,
    createSocket: (url: string, protocols?: string[]) => Socket,
    token?: string,
  ) {
    this.socket =
      token === undefined ? createSocket(url) : createSocket(url, [PROTOCOL, `${TOKEN_PROTOCOL}${token}`]);
    this.socket.onmessage = (event) => this.receive(event.data);
    // The close event follows every error and tells more.
    this.socket.onclose = ({ code, reason }) => this.lose({ code, reason });
    this.welcomeTimer = setTimeout(() => this.declareDead("no welcome"), WELCOME_DEADLINE_MS);
  }

  get isOpen(): boolean {
    return this.socket.readyState === SOCKET_OPEN;
  }

  send(message: Record<string, unknown>): void {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }

  startPing(): void {
    this.stopPing();
    this.pingTimer = setInterval(() => this.probe(), PING_INTERVAL_MS);
  }

  stopPing(): void {
    clearInterval(this.pingTimer);
    clearTimeout(this.pongTimer);
    this.pongTimer = undefined;
  }

  /** A socket whose network is gone stays open for minutes by itself: only an unanswered ping tells. */
  probe(): void {
    if (!this.isOpen) return;
    this.send({ type: "ping" });
    this.pongTimer ??= setTimeout(() => this.declareDead("no answer to a ping"), PONG_DEADLINE_MS);
  }

  close(code?: number): void {
    this.isClosed = true;
    clearTimeout(this.welcomeTimer);
    this.stopPing();
    this.socket.onmessage = null;
    this.socket.onclose = null;
    if (this.socket.readyState <= SOCKET_OPEN) this.socket.close(code);
  }

  private receive(text: unknown): void {
    // Any message proves the peer alive.
    clearTimeout(this.pongTimer);
    this.pongTimer = undefined;
    if (!this.isUp) {
      this.isUp = true;
      clearTimeout(this.welcomeTimer);
      this.startPing();
      this.events.up();
    }
    if (!this.isClosed) this.events.message(text);
  }

  private declareDead(reason: string): void {
    // The close event of a dead socket would wait for the peer's part of the handshake.
    this.lose({ code: CLOSE_ABNORMAL, reason });
  }

  private lose(loss: Loss): void {
    this.close();
    this.events.down(loss);
  }
}
