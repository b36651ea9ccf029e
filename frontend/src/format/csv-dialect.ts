/** The kind of CSV that a spreadsheet in the reader's language opens as columns and numbers. */

export interface CsvDialect {
  delimiter: "," | ";";
  decimal: "." | ",";
  /** Without the byte order mark spreadsheets take UTF-8 for an older encoding. */
  bom: true;
}

export function csvDialect(locale: string): CsvDialect {
  const parts = new Intl.NumberFormat(locale).formatToParts(1.5);
  const decimal = parts.find(({ type }) => type === "decimal")?.value;
  return decimal === ","
    ? { delimiter: ";", decimal: ",", bom: true }
    : { delimiter: ",", decimal: ".", bom: true };
}
