/** At most one transport of a kind, or the wait for the next one. */

import { CLOSE_ABNORMAL } from "./close-codes";
import type { Loss, Transport, TransportEvents } from "./transport";

export interface SlotEvents {
  up(): void;
  message(text: unknown): void;
  down(loss: Loss, wasUp: boolean): void;
}

export class TransportSlot<Kind extends Transport> {
  private current: Kind | undefined;
  private up = false;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly create: (events: TransportEvents) => Kind,
    private readonly events: SlotEvents,
  ) {}

  get transport(): Kind | undefined {
    return this.current;
  }

  /** Messages come through; a transport that has just been replaced is given the time to prove it. */
  get isUp(): boolean {
    return this.up;
  }

  get isWaiting(): boolean {
    return this.retryTimer !== undefined;
  }

  get isEmpty(): boolean {
    return this.current === undefined && !this.isWaiting;
  }

  open(): void {
    this.stopWaiting();
    if (this.current !== undefined) return;
    try {
      this.current = this.create({
        up: () => this.handleUp(),
        message: (text) => this.events.message(text),
        down: (loss) => this.handleDown(loss),
      });
    } catch (cause) {
      this.handleDown({ code: CLOSE_ABNORMAL, reason: String(cause) });
    }
  }

  openAfter(delayMs: number): void {
    this.stopWaiting();
    this.retryTimer = setTimeout(() => this.open(), delayMs);
  }

  /** Another transport in place of this one, which nobody is told about unless it fails. */
  replace(): void {
    this.current?.close();
    this.current = undefined;
    this.open();
  }

  /** Returns whether messages came through. */
  empty(code?: number): boolean {
    const wasUp = this.up;
    this.stopWaiting();
    this.up = false;
    this.current?.close(code);
    this.current = undefined;
    return wasUp;
  }

  private handleUp(): void {
    if (this.up) return;
    this.up = true;
    this.events.up();
  }

  private handleDown(loss: Loss): void {
    const wasUp = this.up;
    this.up = false;
    this.current = undefined;
    this.events.down(loss, wasUp);
  }

  private stopWaiting(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
  }
}
