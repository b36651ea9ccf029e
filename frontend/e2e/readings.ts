import type { PostedReading } from "./server";

/** A plain office, whose values a test changes as it needs. */
export function officeReading(
  values: Record<string, number> = {},
  other: Partial<Omit<PostedReading, "values">> = {},
): PostedReading {
  return {
    sensor_id: "bureau1",
    enseigne: "Maison",
    salle: "Bureau",
    ...other,
    values: { CO2: 645, PM25: 12, TVOC: 40, Temperature: 22.3, Humidity: 45, ...values },
  };
}
