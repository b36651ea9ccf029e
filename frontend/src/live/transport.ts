/** What every way of being sent messages has in common. A transport is one connection, used once. */

export interface Loss {
  /** As WebSockets close; see `close-codes.ts`. */
  code: number;
  reason: string;
}

export interface TransportEvents {
  /** The first message is here, so messages really come through; told before it is handed on. */
  up(): void;
  message(text: unknown): void;
  /** The last thing told. */
  down(loss: Loss): void;
}

export interface Transport {
  readonly url: string;
  readonly isOpen: boolean;
  /** Finds out whether the peer is still there, when that is in doubt. */
  probe(): void;
  /** Nothing is told from then on. */
  close(code?: number): void;
}
