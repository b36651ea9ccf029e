/** Readings of a room as a file that a spreadsheet opens. */

import type { Credentials } from "../access/credentials";
import { csvDialect } from "../format/csv-dialect";
import { request } from "./request";

export interface FileQuery {
  site: string;
  room: string;
  hours: number;
  /** Whose kind of CSV it is. */
  locale: string;
}

/** A day of a room with many sensors takes its time on a slow line. */
const DOWNLOAD_TIMEOUT_MS = 120_000;

export async function historyFile(
  { site, room, hours, locale }: FileQuery,
  credentials: Credentials | undefined,
): Promise<Blob> {
  const { delimiter, decimal, bom } = csvDialect(locale);
  const parameters = new URLSearchParams({
    enseigne: site,
    salle: room,
    hours: String(hours),
    format: "csv",
    delimiter,
    decimal,
    bom: String(bom),
  });
  const path = `/api/iaq/data?${parameters}`;
  // As bytes: a text would lose the mark.
  return (await request(path, credentials, { timeoutMs: DOWNLOAD_TIMEOUT_MS })).blob();
}

/** Has the browser keep a file. */
export function saveFile(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has taken it over by the next turn.
  setTimeout(() => URL.revokeObjectURL(link.href));
}
