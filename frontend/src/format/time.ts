/** Times and ages as text, in the reader's language and time zone. */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const relativeFormats = new Map<string, Intl.RelativeTimeFormat>();
const clockFormats = new Map<string, Intl.DateTimeFormat>();

/** "12 seconds ago": whole units, the largest that fits. A time ahead of the clock counts as now. */
export function formatAge(ageMs: number, locale: string): string {
  const age = Math.max(0, ageMs);
  const [sizeMs, unit]: [number, Intl.RelativeTimeFormatUnit] =
    age < MINUTE_MS
      ? [SECOND_MS, "second"]
      : age < HOUR_MS
        ? [MINUTE_MS, "minute"]
        : age < DAY_MS
          ? [HOUR_MS, "hour"]
          : [DAY_MS, "day"];
  let format = relativeFormats.get(locale);
  if (format === undefined) {
    format = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
    relativeFormats.set(locale, format);
  }
  return format.format(-Math.floor(age / sizeMs), unit);
}

/** "14:32", and with seconds "14:32:05". */
export function formatClock(atMs: number, locale: string, withSeconds = false): string {
  const key = `${locale}/${withSeconds}`;
  let format = clockFormats.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(locale, {
      hour: "2-digit",
      minute: "2-digit",
      ...(withSeconds ? { second: "2-digit" } : {}),
    });
    clockFormats.set(key, format);
  }
  return format.format(atMs);
}

/** "9:05": what is left, in minutes and seconds. */
export function formatCountdown(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
