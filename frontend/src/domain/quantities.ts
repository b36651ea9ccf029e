/** The quantities a reading may hold, under their flat lower-case wire keys. */

export const QUANTITIES = [
  "co2",
  "pm25",
  "tvoc",
  "temperature",
  "humidity",
  "pm1",
  "pm10",
  "no2",
  "o3",
  "hcho",
  "co",
  "radon",
  "pressure",
  "vocindex",
  "noxindex",
  "noise",
  "light",
  "occupants",
] as const;

export type Quantity = (typeof QUANTITIES)[number];

export type QuantityValues = Partial<Record<Quantity, number>>;

const KNOWN: ReadonlySet<string> = new Set(QUANTITIES);

export function isQuantity(name: unknown): name is Quantity {
  return typeof name === "string" && KNOWN.has(name);
}

/** What every room card shows, in this order. */
export const MAIN_QUANTITIES = ["co2", "pm25", "tvoc", "temperature", "humidity"] as const;

export type MainQuantity = (typeof MAIN_QUANTITIES)[number];
