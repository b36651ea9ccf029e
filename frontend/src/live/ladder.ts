/**
 * Which way messages reach the page: by WebSocket, else as server-sent events, else not at all, which
 * leaves polling. The ladder falls when a rung breaks, goes on trying the rungs above, and climbs back.
 */

import {
  BACKOFF_CEILING_MS,
  backoffDelayMs,
  CLIMB_CEILING_MS,
  spreadDelayMs,
  waitAfterClose,
} from "./backoff";
import { CLOSE_NORMAL, CLOSE_POLICY, isGoodbye } from "./close-codes";
import type { ConnectionEvents, ConnectionFailure, Rung } from "./connection-events";
import type { EventStreamEvents, EventStreamTransport } from "./event-stream-transport";
import type { Loss, TransportEvents } from "./transport";
import { TransportSlot } from "./transport-slot";
import type { WebSocketTransport } from "./websocket-transport";

/** One failure may be an accident; a network that lets no WebSocket through fails every time. */
const BROKEN_UPGRADES_MAX = 2;

/** A refusal so long after the last one is no part of a series. */
const REFUSALS_FORGOTTEN_MS = 60_000;

/** Open to scripts on the page, so it is read anew each time. */
export interface ReconnectPolicy {
  reconnectAttempts: number;
  maxReconnectAttempts: number;
  reconnectDelay: number;
  shouldReconnect: boolean;
}

export interface LadderParts {
  policy: ReconnectPolicy;
  openSocket(events: TransportEvents): WebSocketTransport;
  /** Without it there is no rung between the WebSocket and polling. */
  openStream: ((events: EventStreamEvents) => EventStreamTransport) | undefined;
  /** Another token than the refused one; undefined where there is none to renew, and a refusal is final. */
  renewToken(): Promise<unknown> | undefined;
  /** The WebSocket is up and waits to be told what to send. */
  subscribe(socket: WebSocketTransport): void;
  message(text: unknown): void;
  emit<Name extends keyof ConnectionEvents>(name: Name, payload: ConnectionEvents[Name]): void;
  random(): number;
}

export class Ladder {
  private readonly sockets: TransportSlot<WebSocketTransport>;
  private readonly streams: TransportSlot<EventStreamTransport> | undefined;
  private currentRung: Rung | undefined;
  private brokenUpgrades = 0;
  private streamAttempts = 0;
  private refusals = 0;
  private refusedAtMs = Number.NEGATIVE_INFINITY;
  private openedBefore = false;
  private failureReported = false;

  constructor(private readonly parts: LadderParts) {
    const { openSocket, openStream, message } = parts;
    this.sockets = new TransportSlot(openSocket, {
      up: () => this.handleSocketUp(),
      message,
      down: (loss, wasUp) => this.handleSocketDown(loss, wasUp),
    });
    if (openStream === undefined) return;
    const quiet = (): void => this.streams?.replace();
    this.streams = new TransportSlot((events) => openStream({ ...events, quiet }), {
      up: () => this.handleStreamUp(),
      message,
      down: (loss, wasUp) => this.handleStreamDown(loss, wasUp),
    });
  }

  /** Undefined until the first attempt has ended one way or the other. */
  get rung(): Rung | undefined {
    return this.currentRung;
  }

  get isUp(): boolean {
    return this.sockets.isUp || this.streamIsUp;
  }

  get isOpen(): boolean {
    return this.isUp && (this.sockets.transport?.isOpen === true || this.streams?.transport?.isOpen === true);
  }

  /** The WebSocket, once it is up. */
  get socket(): WebSocketTransport | undefined {
    return this.sockets.isUp ? this.sockets.transport : undefined;
  }

  /** Begins with the best rung; also the way to try again at once. */
  climb(): void {
    this.sockets.open();
    if (!this.sockets.isUp && this.streamWanted) this.streams?.open();
  }

  leave(): void {
    const { policy, emit } = this.parts;
    policy.reconnectAttempts = 0;
    this.failureReported = false;
    this.brokenUpgrades = 0;
    this.streamAttempts = 0;
    const socketWasUp = this.sockets.empty(CLOSE_NORMAL);
    const streamWasUp = this.streams?.empty() === true;
    // Told even when it was polling already: no attempt is planned any more.
    this.currentRung = "polling";
    emit("rung", { rung: "polling" });
    if (socketWasUp || streamWasUp) {
      emit("disconnected", { code: CLOSE_NORMAL, reason: "closed by the page", willReconnect: false });
    }
  }

  /** A sleeping page woke up: what it holds is doubted, what it waits for is tried. */
  wake(): void {
    if (this.sockets.isUp) {
      this.sockets.transport?.probe();
      return;
    }
    if (this.sockets.isWaiting) this.sockets.open();
    if (this.streamIsUp) this.streams?.transport?.probe();
    else if (this.streams?.isWaiting) this.streams.open();
  }

  /** A stream is one-way: what it carries, and for whom, is changed by opening another one. */
  reopenStream(): void {
    if (this.streams?.transport !== undefined) this.streams.replace();
  }

  private get streamIsUp(): boolean {
    return this.streams?.isUp === true;
  }

  private get streamWanted(): boolean {
    return this.brokenUpgrades >= BROKEN_UPGRADES_MAX && this.parts.policy.shouldReconnect;
  }

  private handleSocketUp(): void {
    const { policy, subscribe } = this.parts;
    const socket = this.sockets.transport;
    if (socket === undefined) return;
    // First of all, so that what the stream brought is known when the WebSocket is told where to go on.
    this.streams?.empty();
    this.brokenUpgrades = 0;
    this.streamAttempts = 0;
    this.failureReported = false;
    policy.reconnectAttempts = 0;
    subscribe(socket);
    this.tellConnected(socket.url);
  }

  private handleSocketDown(loss: Loss, wasUp: boolean): void {
    const { policy, emit } = this.parts;
    if (!wasUp && !isGoodbye(loss.code)) this.brokenUpgrades += 1;
    const renewal = loss.code === CLOSE_POLICY ? this.parts.renewToken() : undefined;
    const refused = loss.code === CLOSE_POLICY && renewal === undefined;
    const gaveUp = policy.reconnectAttempts >= policy.maxReconnectAttempts;
    if (refused) policy.shouldReconnect = false;
    const willReconnect = policy.shouldReconnect && !gaveUp;

    this.tellRung();
    if (wasUp) this.tellDisconnected(loss, willReconnect);
    if (!this.failureReported || !willReconnect) {
      this.failureReported = true;
      emit("error", { failure: failureOf({ refused, gaveUp, wasUp }), ...loss });
    }
    // A listener may have disconnected or reconnected meanwhile.
    if (willReconnect && renewal !== undefined) void this.planAfterRenewal(renewal, loss.code);
    else if (willReconnect && policy.shouldReconnect && this.sockets.isEmpty) this.planSocket(loss.code);
    if (this.streamWanted && this.streams?.isEmpty) this.streams.open();
  }

  /** Comes back later each time: a server that takes no new token either must not be hammered with them. */
  private async planAfterRenewal(renewal: Promise<unknown>, code: number): Promise<void> {
    const { policy } = this.parts;
    const nowMs = Date.now();
    this.refusals = nowMs - this.refusedAtMs > REFUSALS_FORGOTTEN_MS ? 0 : this.refusals + 1;
    this.refusedAtMs = nowMs;
    await renewal;
    if (!policy.shouldReconnect || !this.sockets.isEmpty) return;
    policy.reconnectAttempts = Math.max(policy.reconnectAttempts, this.refusals);
    this.planSocket(code);
  }

  private planSocket(code: number): void {
    const { policy, emit, random } = this.parts;
    const { attempt, delayMs } = waitAfterClose(code, policy.reconnectAttempts, random, {
      baseMs: policy.reconnectDelay,
      ceilingMs: this.streamIsUp ? CLIMB_CEILING_MS : BACKOFF_CEILING_MS,
    });
    policy.reconnectAttempts = attempt + 1;
    this.sockets.openAfter(delayMs);
    emit("reconnecting", { attempt: policy.reconnectAttempts, nextAttemptAtMs: Date.now() + delayMs });
  }

  private handleStreamUp(): void {
    this.streamAttempts = 0;
    const url = this.streams?.transport?.url;
    if (url !== undefined) this.tellConnected(url);
  }

  private handleStreamDown(loss: Loss, wasUp: boolean): void {
    const { policy, random } = this.parts;
    this.tellRung();
    if (wasUp) this.tellDisconnected(loss, policy.shouldReconnect);
    if (!this.streamWanted || this.streams?.isEmpty !== true) return;
    // A stream has no close code: the server may be going away and have lost everybody else, too.
    const delayMs = wasUp
      ? spreadDelayMs(random)
      : backoffDelayMs(this.streamAttempts, random, { ceilingMs: CLIMB_CEILING_MS });
    this.streamAttempts += 1;
    this.streams.openAfter(delayMs);
  }

  private tellConnected(url: string): void {
    const reconnected = this.openedBefore;
    this.openedBefore = true;
    console.info(`[live] connected to ${url}`);
    const rung = this.tellRung();
    this.parts.emit("connected", { url, rung, reconnected });
  }

  private tellDisconnected({ code, reason }: Loss, willReconnect: boolean): void {
    console.info(`[live] connection lost (code ${code}${reason === "" ? "" : `, ${reason}`})`);
    this.parts.emit("disconnected", { code, reason, willReconnect });
  }

  private tellRung(): Rung {
    const rung = this.sockets.isUp ? "websocket" : this.streamIsUp ? "events" : "polling";
    if (rung !== this.currentRung) {
      this.currentRung = rung;
      this.parts.emit("rung", { rung });
    }
    return rung;
  }
}

function failureOf(state: { refused: boolean; gaveUp: boolean; wasUp: boolean }): ConnectionFailure {
  if (state.refused) return "refused";
  if (state.gaveUp) return "gave_up";
  return state.wasUp ? "lost" : "unreachable";
}
