/**
 * One stream of server-sent events.
 *
 * The browser's own reconnection is not used: it says neither when it tries nor when it fails, and the
 * page has other rungs to stand on meanwhile. A stream that breaks is lost, and the next one is a new one.
 */

import { CLOSE_ABNORMAL } from "./close-codes";
import type { Transport, TransportEvents } from "./transport";

/** A proxy that holds answers back until they are complete never lets the first message through. */
const WELCOME_DEADLINE_MS = 5_000;
/** Three times what the server lets pass between two signs of life, which a page cannot see. */
const QUIET_MAX_MS = 90_000;
/** Silence after which a stream is doubted when the page comes back to it. */
const QUIET_DOUBTED_MS = 10_000;

/** The part of the browser's EventSource that is used, so that tests can stand in for it. */
export interface EventStream {
  readonly readyState: number;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  close(): void;
}

export interface EventStreamEvents extends TransportEvents {
  /** Nothing came for so long that the network may be gone; only opening another stream can tell. */
  quiet(): void;
}

const STREAM_OPEN = 1;
const STREAM_CLOSED = 2;

export class EventStreamTransport implements Transport {
  private readonly stream: EventStream;
  private isUp = false;
  private isClosed = false;
  private heardAtMs = Date.now();
  private quietTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly welcomeTimer: ReturnType<typeof setTimeout>;

  constructor(
    /** Without the token, which must not be shown. */
    readonly url: string,
    private readonly events: EventStreamEvents,
    createStream: (url: string) => EventStream,
    token?: string,
  ) {
    this.stream = createStream(token === undefined ? url : withToken(url, token));
    this.stream.onmessage = (event) => this.receive(event.data);
    this.stream.onerror = () =>
      this.lose(this.stream.readyState === STREAM_CLOSED ? "events refused" : "events broken off");
    this.welcomeTimer = setTimeout(() => this.lose("no welcome"), WELCOME_DEADLINE_MS);
  }

  get isOpen(): boolean {
    return this.stream.readyState === STREAM_OPEN;
  }

  probe(): void {
    if (this.isUp && Date.now() - this.heardAtMs >= QUIET_DOUBTED_MS) this.events.quiet();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.welcomeTimer);
    clearTimeout(this.quietTimer);
    this.stream.onmessage = null;
    this.stream.onerror = null;
    this.stream.close();
  }

  private receive(text: unknown): void {
    this.heardAtMs = Date.now();
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => this.events.quiet(), QUIET_MAX_MS);
    if (!this.isUp) {
      this.isUp = true;
      clearTimeout(this.welcomeTimer);
      this.events.up();
    }
    if (!this.isClosed) this.events.message(text);
  }

  private lose(reason: string): void {
    this.close();
    this.events.down({ code: CLOSE_ABNORMAL, reason });
  }
}

/** A browser's stream has no place for a token but its address. */
function withToken(url: string, token: string): string {
  const address = new URL(url);
  address.searchParams.set("token", token);
  return address.href;
}
