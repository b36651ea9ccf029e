/** What the connection indicator says, derived from the rung of the ladder and from the polling. */

import type { Rung } from "./connection-events";

/** Whether a better connection is being waited for; after a refusal only the reader can ask again. */
export type RetryState = "none" | "waiting" | "refused";

/** `denied` is an answer, yet one without data: no credentials, too many requests, a fault. */
export type PollOutcome = "none" | "reached" | "failed" | "denied";

export interface ConnectionFacts {
  /** Undefined until the first attempt has ended. */
  rung: Rung | undefined;
  retry: RetryState;
  poll: PollOutcome;
  /** The server's words when it denied the data. */
  denial: string | undefined;
  hasData: boolean;
  /** The first paint was answered, though perhaps with no readings. */
  loaded: boolean;
  attempt: number;
  nextAttemptAtMs: number | undefined;
  newestReadingMs: number | undefined;
}

export type ConnectionMode =
  | "connecting"
  | "loading"
  | "live"
  | "polling"
  | "reconnecting"
  | "offline"
  | "denied";

export interface ConnectionState extends ConnectionFacts {
  mode: ConnectionMode;
  serverReached: boolean;
  socketActive: boolean;
}

export function connectionStateOf(facts: ConnectionFacts): ConnectionState {
  const mode = modeOf(facts);
  return {
    ...facts,
    mode,
    serverReached: mode === "live" || mode === "loading" || mode === "polling",
    socketActive: facts.rung === "websocket",
  };
}

/** Whether readings come by themselves. */
export function isPushed(rung: Rung | undefined): boolean {
  return rung === "websocket" || rung === "events";
}

function modeOf({ rung, poll, hasData, loaded }: ConnectionFacts): ConnectionMode {
  if (isPushed(rung)) return hasData || loaded ? "live" : "loading";
  if (poll === "reached") return "polling";
  if (poll === "failed") return "offline";
  if (poll === "denied") return "denied";
  return rung === undefined ? "connecting" : "reconnecting";
}
