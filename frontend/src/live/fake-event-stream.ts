/** A stream of server-sent events for tests: welcomed, broken and fed by hand. */

import type { EventStream } from "./event-stream-transport";

export class FakeEventStream implements EventStream {
  readyState = 0;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;

  constructor(readonly url: string) {}

  get parameters(): Record<string, string> {
    return Object.fromEntries(new URL(this.url).searchParams);
  }

  get isClosed(): boolean {
    return this.readyState === 2;
  }

  close(): void {
    this.readyState = 2;
  }

  open(): void {
    this.readyState = 1;
    this.receive({ type: "connection", status: "connected" });
  }

  /** The network went; the browser would try again by itself. */
  breakOff(): void {
    this.readyState = 0;
    this.onerror?.(new Event("error"));
  }

  /** The answer was no stream. */
  refuse(): void {
    this.readyState = 2;
    this.onerror?.(new Event("error"));
  }

  receive(message: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data: JSON.stringify(message) }));
  }
}
