/** Waiting times between connection attempts: exponential growth with full jitter. */

import { CLOSE_GOING_AWAY, CLOSE_OVERLOADED } from "./close-codes";

export const BACKOFF_BASE_MS = 500;
export const BACKOFF_CEILING_MS = 20_000;
/** With messages coming in another way, a better way is not urgent. */
export const CLIMB_CEILING_MS = 60_000;
/** Keeps a client whose draw is close to zero from hammering a server that is starting. */
export const BACKOFF_FLOOR_MS = 100;

/** A server that says goodbye loses all its clients at once and wants them back spread out. */
export const GOING_AWAY_SPREAD_MS = 8_000;
/** Attempt number that counting starts from when the server says it is full. */
const OVERLOADED_FIRST_ATTEMPT = 4;

export interface BackoffLimits {
  baseMs?: number;
  ceilingMs?: number;
}

export function backoffDelayMs(
  attempt: number,
  random: () => number = Math.random,
  { baseMs = BACKOFF_BASE_MS, ceilingMs = BACKOFF_CEILING_MS }: BackoffLimits = {},
): number {
  return jitterMs(Math.min(ceilingMs, baseMs * 2 ** attempt), random);
}

/** The wait before coming back to a server that all its clients lost at the same moment. */
export function spreadDelayMs(random: () => number = Math.random): number {
  return jitterMs(GOING_AWAY_SPREAD_MS, random);
}

/** The attempt to count from after a close code, and the wait that belongs to it. */
export function waitAfterClose(
  code: number,
  attempt: number,
  random: () => number,
  limits: BackoffLimits,
): { attempt: number; delayMs: number } {
  if (code === CLOSE_GOING_AWAY) return { attempt, delayMs: spreadDelayMs(random) };
  const counted = code === CLOSE_OVERLOADED ? Math.max(attempt, OVERLOADED_FIRST_ATTEMPT) : attempt;
  return { attempt: counted, delayMs: backoffDelayMs(counted, random, limits) };
}

function jitterMs(upperBoundMs: number, random: () => number): number {
  return Math.max(BACKOFF_FLOOR_MS, random() * upperBoundMs);
}
