/** A bounded history of one sensor: times and values in columns, oldest points leaving first. */

import { MAIN_QUANTITIES, type MainQuantity, type QuantityValues } from "../domain/quantities";

/** One hour of a sensor that reports every second. */
export const SERIES_CAPACITY_POINTS = 3_600;

const FIRST_ALLOCATION_POINTS = 64;

export interface SeriesColumns {
  timesMs: Float64Array;
  /** NaN where a reading did not hold the quantity. */
  values: Record<MainQuantity, Float64Array>;
}

export class SeriesBuffer {
  private timesMs: Float64Array;
  private columns: Float64Array[];
  private head = 0;
  private count = 0;

  constructor(private readonly capacityPoints: number = SERIES_CAPACITY_POINTS) {
    const allocated = Math.min(FIRST_ALLOCATION_POINTS, capacityPoints);
    this.timesMs = new Float64Array(allocated);
    this.columns = MAIN_QUANTITIES.map(() => new Float64Array(allocated));
  }

  get length(): number {
    return this.count;
  }

  get newestMs(): number | undefined {
    return this.count === 0 ? undefined : this.timeAt(this.count - 1);
  }

  /**
   * Puts the point at its place in time. A point of the same time is completed and overwritten by it;
   * one older than a full buffer's oldest is dropped.
   */
  insert(atMs: number, values: QuantityValues): void {
    const position = this.lowerBound(atMs);
    if (position < this.count && this.timeAt(position) === atMs) {
      this.write(position, values, false);
      return;
    }
    if (this.count === this.capacityPoints) {
      if (position === 0) return;
      this.head = this.slot(1);
      this.count -= 1;
      this.insertAt(position - 1, atMs, values);
      return;
    }
    if (this.count === this.timesMs.length) this.grow();
    this.insertAt(position, atMs, values);
  }

  /** Copies of the points at or after the given time, ascending. */
  columnsSince(fromMs: number): SeriesColumns {
    const first = this.lowerBound(fromMs);
    const values = {} as Record<MainQuantity, Float64Array>;
    MAIN_QUANTITIES.forEach((quantity, index) => {
      values[quantity] = this.unrolled(this.columns[index] as Float64Array, first);
    });
    return { timesMs: this.unrolled(this.timesMs, first), values };
  }

  private insertAt(position: number, atMs: number, values: QuantityValues): void {
    this.count += 1;
    for (let index = this.count - 1; index > position; index -= 1) {
      const to = this.slot(index);
      const from = this.slot(index - 1);
      this.timesMs[to] = this.timesMs[from] as number;
      for (const column of this.columns) column[to] = column[from] as number;
    }
    this.timesMs[this.slot(position)] = atMs;
    this.write(position, values, true);
  }

  private write(position: number, values: QuantityValues, clearAbsent: boolean): void {
    const slot = this.slot(position);
    MAIN_QUANTITIES.forEach((quantity, index) => {
      const value = values[quantity];
      const column = this.columns[index] as Float64Array;
      if (value !== undefined) column[slot] = value;
      else if (clearAbsent) column[slot] = Number.NaN;
    });
  }

  /** Position of the first point that is not older than the given time. */
  private lowerBound(atMs: number): number {
    const newestMs = this.newestMs;
    if (newestMs === undefined) return 0;
    // Live points come in order, so the end is looked at before searching.
    if (atMs > newestMs) return this.count;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.timeAt(middle) < atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private grow(): void {
    const allocated = Math.min(this.timesMs.length * 2, this.capacityPoints);
    const enlarge = (column: Float64Array): Float64Array => {
      const enlarged = new Float64Array(allocated);
      enlarged.set(this.unrolled(column, 0));
      return enlarged;
    };
    this.columns = this.columns.map(enlarge);
    this.timesMs = enlarge(this.timesMs);
    this.head = 0;
  }

  private unrolled(column: Float64Array, first: number): Float64Array {
    const size = this.count - first;
    const result = new Float64Array(size);
    const start = this.slot(first);
    const untilEnd = Math.min(size, column.length - start);
    result.set(column.subarray(start, start + untilEnd));
    result.set(column.subarray(0, size - untilEnd), untilEnd);
    return result;
  }

  private slot(position: number): number {
    return (this.head + position) % this.timesMs.length;
  }

  private timeAt(position: number): number {
    return this.timesMs[this.slot(position)] as number;
  }
}
