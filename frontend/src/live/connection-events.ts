/** The pseudo-topics of the WebSocket manager and what their listeners are given. */

import type { MeasurementMessage, ServerMessage, SnapshotMessage } from "./protocol";

export interface ConnectedEvent {
  url: string;
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

export interface TopicPayloads {
  connected: ConnectedEvent;
  disconnected: DisconnectedEvent;
  reconnecting: ReconnectingEvent;
  error: ErrorEvent;
  all: ServerMessage;
  measurements: MeasurementMessage;
  snapshot: SnapshotMessage;
}

export type Listener<Payload = never> = (payload: Payload) => void;
