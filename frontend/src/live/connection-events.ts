/** The pseudo-topics of the WebSocket manager and what their listeners are given. */

import type { MeasurementMessage, ServerMessage, SnapshotMessage } from "./protocol";

/** The ways to the readings, best first. On `polling` nothing is pushed: who wants readings asks for them. */
export type Rung = "websocket" | "events" | "polling";

/** Told before the other events of the same change. */
export interface RungEvent {
  rung: Rung;
}

/** Messages are pushed: for the first time, again, or another way than before. */
export interface ConnectedEvent {
  url: string;
  rung: Rung;
  /** False on the first connection of the page. */
  reconnected: boolean;
}

export interface DisconnectedEvent {
  code: number;
  reason: string;
  willReconnect: boolean;
}

export interface ReconnectingEvent {
  attempt: number;
  /** On the browser's clock. */
  nextAttemptAtMs: number;
}

export type ConnectionFailure = "unreachable" | "lost" | "refused" | "gave_up";

export interface ErrorEvent {
  failure: ConnectionFailure;
  code: number;
  reason: string;
}

export interface ConnectionEvents {
  rung: RungEvent;
  connected: ConnectedEvent;
  disconnected: DisconnectedEvent;
  reconnecting: ReconnectingEvent;
  error: ErrorEvent;
}

export interface TopicPayloads extends ConnectionEvents {
  all: ServerMessage;
  measurements: MeasurementMessage;
  snapshot: SnapshotMessage;
}

export type Listener<Payload = never> = (payload: Payload) => void;
