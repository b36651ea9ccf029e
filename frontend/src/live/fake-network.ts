/** A socket for tests, opened, closed and fed by hand, and the network it belongs to. */

import { FakeEventStream } from "./fake-event-stream";
import type { Socket } from "./websocket-transport";

export class FakeSocket implements Socket {
  readyState = 0;
  onopen: ((event: Event) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];

  constructor(
    readonly url: string,
    readonly protocols?: readonly string[],
  ) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 2;
  }

  open(): void {
    this.openInSilence();
    this.receive({ type: "connection", status: "connected" });
  }

  /** The handshake is done, and no message follows. */
  openInSilence(): void {
    this.readyState = 1;
    this.onopen?.(new Event("open"));
  }

  drop(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.(new CloseEvent("close", { code, reason }));
  }

  receive(message: unknown): void {
    this.receiveText(JSON.stringify(message));
  }

  receiveText(data: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data }));
  }
}

export interface FakeNetwork {
  sockets: FakeSocket[];
  streams: FakeEventStream[];
  create(url: string, protocols?: readonly string[]): FakeSocket;
  createStream(url: string): FakeEventStream;
  readonly latest: FakeSocket;
  readonly latestStream: FakeEventStream;
}

export function fakeNetwork(): FakeNetwork {
  const sockets: FakeSocket[] = [];
  const streams: FakeEventStream[] = [];
  return {
    sockets,
    streams,
    create: (url, protocols) => added(sockets, new FakeSocket(url, protocols)),
    createStream: (url) => added(streams, new FakeEventStream(url)),
    get latest() {
      return last(sockets);
    },
    get latestStream() {
      return last(streams);
    },
  };
}

function added<Item>(items: Item[], item: Item): Item {
  items.push(item);
  return item;
}

function last<Item>(items: readonly Item[]): Item {
  const item = items.at(-1);
  if (item === undefined) throw new Error("none was opened");
  return item;
}
