/** How often a sensor reports, learnt from its readings, and from when on it counts as stale. */

export const STALE_AFTER_DEFAULT_MS = 60_000;
/** A sensor that reports every second is not stale because one reading took three. */
const STALE_AFTER_MIN_MS = 15_000;
const STALE_AFTER_PERIODS = 2;

const INTERVALS_KEPT = 5;
const INTERVALS_NEEDED = 3;

export class ReportingPeriod {
  private readonly intervalsMs: number[] = [];
  private toldMs: number | undefined;

  observe(intervalMs: number): void {
    if (intervalMs <= 0) return;
    this.intervalsMs.push(intervalMs);
    if (this.intervalsMs.length > INTERVALS_KEPT) this.intervalsMs.shift();
  }

  /** What the server, which knows the sensor longer, expects; own observation overrides it. */
  tell(periodMs: number): void {
    this.toldMs = periodMs;
  }

  /** The median, so that an outage does not pass for a habit. Undefined until enough is known. */
  get periodMs(): number | undefined {
    if (this.intervalsMs.length < INTERVALS_NEEDED) return this.toldMs;
    const ascending = [...this.intervalsMs].sort((left, right) => left - right);
    return ascending[Math.floor(ascending.length / 2)];
  }

  get staleAfterMs(): number {
    const periodMs = this.periodMs;
    if (periodMs === undefined) return STALE_AFTER_DEFAULT_MS;
    return Math.max(STALE_AFTER_MIN_MS, periodMs * STALE_AFTER_PERIODS);
  }
}
