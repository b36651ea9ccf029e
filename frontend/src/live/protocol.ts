/** What the server sends, over the WebSocket or as events, checked where it enters the page. */

import { isJsonObject, readingFromRecord } from "../domain/reading";

export const TOPICS = [
  "measurements",
  "predictions",
  "actions",
  "alerts",
  "modules",
  "system",
  "all",
] as const;

export type Topic = (typeof TOPICS)[number];

interface Frame {
  type: string;
  topic?: string;
  data?: unknown;
  id?: string;
  timestamp?: string;
}

export interface MeasurementMessage extends Frame {
  type: "measurement";
  timestamp: string;
  sensor_id: string;
  enseigne: string;
  salle: string;
  values?: Record<string, unknown>;
  late?: boolean;
}

export interface SnapshotMessage extends Frame {
  type: "snapshot";
  topic: string;
  data: unknown[];
}

export interface ConnectionMessage extends Frame {
  type: "connection";
  subscriptions?: string[];
}

export interface SubscribedMessage extends Frame {
  type: "subscribed";
  topics: string[];
  recovered?: boolean;
  replayed?: number;
}

export interface ServerErrorMessage extends Frame {
  type: "error";
  code: string;
}

/** This client was too slow, and newer measurements took the place of `count` older ones. */
export interface ConflatedMessage extends Frame {
  type: "conflated";
  count?: number;
}

/** Types whose content only their listeners look into. */
export interface PassedOnMessage extends Frame {
  type:
    | "pong"
    | "authenticated"
    | "token_expiring"
    | "unsubscribed"
    | "stats_update"
    | "metrics_update"
    | "prediction"
    | "action"
    | "alert"
    | "module_update"
    | "module_state"
    | "config_updated";
}

/** `{"topic":…,"data":…}` without a type of its own, which older servers send for alerts. */
export interface TopicMessage extends Frame {
  type: "topic";
  topic: string;
  data: unknown;
}

export type ServerMessage =
  | MeasurementMessage
  | SnapshotMessage
  | ConnectionMessage
  | SubscribedMessage
  | ServerErrorMessage
  | ConflatedMessage
  | PassedOnMessage
  | TopicMessage;

export type Parsed =
  | { kind: "message"; message: ServerMessage }
  /** A type this client does not know: a newer server may send it, so it is no fault. */
  | { kind: "unknown" }
  | { kind: "malformed"; reason: string };

const PASSED_ON: ReadonlySet<string> = new Set<PassedOnMessage["type"]>([
  "pong",
  "authenticated",
  "token_expiring",
  "unsubscribed",
  "stats_update",
  "metrics_update",
  "prediction",
  "action",
  "alert",
  "module_update",
  "module_state",
  "config_updated",
]);

const TOPICS_OF_TYPE: Readonly<Record<string, readonly string[]>> = {
  measurement: ["measurements"],
  prediction: ["predictions"],
  action: ["actions"],
  alert: ["alerts"],
  module_update: ["modules"],
  module_state: ["modules"],
  metrics_update: ["system"],
  config_updated: ["config_updated", "config"],
  snapshot: ["snapshot"],
};

/** Whose listeners a message is for; none when it is an answer to this client only. */
export function topicsOfType(type: ServerMessage["type"]): readonly string[] {
  return TOPICS_OF_TYPE[type] ?? [];
}

/** Never throws, whatever the text. */
export function parseServerMessage(text: unknown): Parsed {
  if (typeof text !== "string") return malformed("not a text frame");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return malformed("not JSON");
  }
  if (!isJsonObject(value)) return malformed("not a JSON object");
  if (typeof value.type !== "string") return topicMessage(value);

  switch (value.type) {
    case "measurement":
      return readingFromRecord(value) === undefined
        ? malformed("measurement without sensor, place or time")
        : accept(value);
    case "snapshot":
      return typeof value.topic === "string" && Array.isArray(value.data)
        ? accept(value)
        : malformed("snapshot without topic or data");
    case "subscribed":
      return Array.isArray(value.topics) ? accept(value) : malformed("subscribed without topics");
    case "error":
      return typeof value.code === "string" ? accept(value) : malformed("error without code");
    case "connection":
    case "conflated":
      return accept(value);
    default:
      if (PASSED_ON.has(value.type)) return accept(value);
      return typeof value.topic === "string" ? topicMessage(value) : { kind: "unknown" };
  }
}

function accept(value: Record<string, unknown>): Parsed {
  return { kind: "message", message: value as unknown as ServerMessage };
}

function topicMessage(value: Record<string, unknown>): Parsed {
  if (typeof value.topic !== "string") return malformed("neither type nor topic");
  return { kind: "message", message: { type: "topic", topic: value.topic, data: value.data ?? value } };
}

function malformed(reason: string): Parsed {
  return { kind: "malformed", reason };
}
