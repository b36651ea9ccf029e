/**
 * How far the page has come in the server's stream of messages, so that the next connection goes on
 * from there. Ids are opaque: they are remembered and compared for equality, never for order.
 */

import { type ServerMessage, topicsOfType } from "./protocol";

/** Far more than two connections can both bring while one takes over from the other. */
const TAKEN_IDS_MAX = 1_000;

export class StreamPosition {
  private lastId: string | undefined;
  private awaitsAnswer = false;
  private readonly takenIds = new Set<string>();

  /** Id of the last message up to which nothing is missing. */
  get since(): string | undefined {
    return this.lastId;
  }

  /**
   * A connection was asked to go on from here. What it brings before its answer is ahead of what was
   * missed, so the position stands still until then.
   */
  resume(): void {
    this.awaitsAnswer = true;
  }

  /**
   * Returns whether the message is new. A replay repeats what came ahead of it, and a connection brings
   * what is published from its handshake on, though the one before it may have brought that as well.
   */
  take(message: ServerMessage): boolean {
    if (message.type === "subscribed") this.awaitsAnswer = false;
    const { id, type } = message;
    // Other ids are none of a message in the stream: the welcome's says how far the server is, not the page.
    if (typeof id !== "string" || topicsOfType(type).length === 0) return true;

    if (type === "snapshot") this.takenIds.clear();
    if (!this.awaitsAnswer) this.lastId = id;
    if (this.takenIds.has(id)) return false;
    this.remember(id);
    return true;
  }

  private remember(id: string): void {
    this.takenIds.add(id);
    const [oldest] = this.takenIds;
    if (this.takenIds.size > TAKEN_IDS_MAX && oldest !== undefined) this.takenIds.delete(oldest);
  }
}
