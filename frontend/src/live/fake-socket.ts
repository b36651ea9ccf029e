/** A socket for tests: opened, closed and fed by hand. */

import type { Socket } from "./websocket-manager";

export class FakeSocket implements Socket {
  readyState = 0;
  onopen: ((event: Event) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];

  constructor(readonly url: string) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 2;
  }

  open(): void {
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
  create(url: string): FakeSocket;
  readonly latest: FakeSocket;
}

export function fakeNetwork(): FakeNetwork {
  const sockets: FakeSocket[] = [];
  return {
    sockets,
    create(url) {
      const socket = new FakeSocket(url);
      sockets.push(socket);
      return socket;
    },
    get latest() {
      const socket = sockets.at(-1);
      if (socket === undefined) throw new Error("no socket was opened");
      return socket;
    },
  };
}
