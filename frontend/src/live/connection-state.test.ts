import { expect, test } from "vitest";
import { type ConnectionFacts, connectionStateOf } from "./connection-state";

const NOTHING_YET: ConnectionFacts = {
  rung: undefined,
  retry: "none",
  poll: "none",
  denial: undefined,
  hasData: false,
  loaded: false,
  attempt: 0,
  nextAttemptAtMs: undefined,
  newestReadingMs: undefined,
};

test.each<[Partial<ConnectionFacts>, string]>([
  [{}, "connecting"],
  [{ rung: "websocket" }, "loading"],
  [{ rung: "websocket", hasData: true }, "live"],
  [{ rung: "events" }, "loading"],
  [{ rung: "events", loaded: true }, "live"],
  [{ rung: "polling" }, "reconnecting"],
  [{ rung: "polling", poll: "reached" }, "polling"],
  [{ rung: "polling", poll: "failed" }, "offline"],
  [{ rung: "polling", poll: "denied" }, "denied"],
  [{ poll: "reached" }, "polling"],
])("%o is %s", (facts, mode) => {
  expect(connectionStateOf({ ...NOTHING_YET, ...facts }).mode).toBe(mode);
});
