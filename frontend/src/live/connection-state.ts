/** What the connection indicator says, derived from the socket and from the polling fallback. */

export type SocketPhase = "off" | "connecting" | "open" | "waiting" | "refused";

/** `denied` is an answer, yet one without data: no credentials, too many requests, a fault. */
export type PollOutcome = "none" | "reached" | "failed" | "denied";

export interface ConnectionFacts {
  socket: SocketPhase;
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
    socketActive: facts.socket === "open",
  };
}

function modeOf({ socket, poll, hasData, loaded }: ConnectionFacts): ConnectionMode {
  if (socket === "open") return hasData || loaded ? "live" : "loading";
  if (poll === "reached") return "polling";
  if (poll === "failed") return "offline";
  if (poll === "denied") return "denied";
  return socket === "connecting" || socket === "off" ? "connecting" : "reconnecting";
}
