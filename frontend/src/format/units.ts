/** Units and decimals of every quantity: the only place where a value becomes text. */

import type { Quantity } from "../domain/quantities";

interface Display {
  /** Empty for a plain index or count. */
  unit: string;
  decimals: number;
}

const DISPLAY: Readonly<Record<Quantity, Display>> = {
  co2: { unit: "ppm", decimals: 0 },
  pm25: { unit: "µg/m³", decimals: 1 },
  tvoc: { unit: "ppb", decimals: 0 },
  temperature: { unit: "°C", decimals: 1 },
  humidity: { unit: "%", decimals: 0 },
  pm1: { unit: "µg/m³", decimals: 1 },
  pm10: { unit: "µg/m³", decimals: 1 },
  no2: { unit: "ppb", decimals: 0 },
  o3: { unit: "ppb", decimals: 0 },
  hcho: { unit: "ppb", decimals: 0 },
  co: { unit: "ppm", decimals: 1 },
  radon: { unit: "Bq/m³", decimals: 0 },
  pressure: { unit: "hPa", decimals: 0 },
  vocindex: { unit: "", decimals: 0 },
  noxindex: { unit: "", decimals: 0 },
  noise: { unit: "dBA", decimals: 0 },
  light: { unit: "lx", decimals: 0 },
  occupants: { unit: "", decimals: 0 },
};

/** Formulas and abbreviations that are written alike in every language. */
const SYMBOLS: Readonly<Partial<Record<Quantity, string>>> = {
  co2: "CO₂",
  pm25: "PM2.5",
  pm1: "PM1",
  pm10: "PM10",
  no2: "NO₂",
  o3: "O₃",
  hcho: "HCHO",
  co: "CO",
};

const formats = new Map<string, Intl.NumberFormat>();

/** An axis label: as many decimals as the step needs. */
export function formatTick(value: number, locale: string): string {
  return numberFormat(locale, 0, 2).format(value);
}

export function unitOf(quantity: Quantity): string {
  return DISPLAY[quantity].unit;
}

export function symbolOf(quantity: Quantity): string | undefined {
  return SYMBOLS[quantity];
}

export function formatNumber(quantity: Quantity, value: number, locale: string): string {
  const { decimals } = DISPLAY[quantity];
  return numberFormat(locale, decimals, decimals).format(value);
}

export function formatWithUnit(quantity: Quantity, value: number, locale: string): string {
  const unit = unitOf(quantity);
  const number = formatNumber(quantity, value, locale);
  // A no-break space keeps the unit on the line of its number.
  return unit === "" ? number : `${number}\u00a0${unit}`;
}

function numberFormat(locale: string, decimalsMin: number, decimalsMax: number): Intl.NumberFormat {
  const key = `${locale}/${decimalsMin}/${decimalsMax}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.NumberFormat(locale, {
      minimumFractionDigits: decimalsMin,
      maximumFractionDigits: decimalsMax,
    });
    formats.set(key, format);
  }
  return format;
}
