/**
 * How far the page has come in the server's stream of messages, so that the next connection goes on
 * from there. Ids are opaque: they are remembered and compared for equality, never for order.
 */

import { type ServerMessage, topicsOfType } from "./protocol";

/** Far more than can come in while one answer is awaited. */
const EARLY_IDS_MAX = 1_000;

export class StreamPosition {
  private lastId: string | undefined;
  private awaitsAnswer = false;
  private readonly earlyIds = new Set<string>();

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

  /** Returns whether the message is new; a replay repeats what came ahead of it. */
  take(message: ServerMessage): boolean {
    if (message.type === "subscribed") this.awaitsAnswer = false;
    const { id, type } = message;
    // Other ids are none of a message in the stream: the welcome's says how far the server is, not the page.
    if (typeof id !== "string" || topicsOfType(type).length === 0) return true;

    if (type === "snapshot") this.earlyIds.clear();
    const isRepeated = this.earlyIds.delete(id);
    if (this.awaitsAnswer) this.rememberEarly(id);
    else this.lastId = id;
    return !isRepeated;
  }

  private rememberEarly(id: string): void {
    this.earlyIds.add(id);
    const [oldest] = this.earlyIds;
    if (this.earlyIds.size > EARLY_IDS_MAX && oldest !== undefined) this.earlyIds.delete(oldest);
  }
}
