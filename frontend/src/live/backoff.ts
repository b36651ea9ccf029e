/** Waiting times between connection attempts: exponential growth with full jitter. */

export const BACKOFF_BASE_MS = 500;
export const BACKOFF_CEILING_MS = 20_000;
/** Keeps a client whose draw is close to zero from hammering a server that is starting. */
export const BACKOFF_FLOOR_MS = 100;

export function backoffDelayMs(
  attempt: number,
  random: () => number = Math.random,
  baseMs: number = BACKOFF_BASE_MS,
): number {
  const upperBoundMs = Math.min(BACKOFF_CEILING_MS, baseMs * 2 ** attempt);
  return Math.max(BACKOFF_FLOOR_MS, random() * upperBoundMs);
}
