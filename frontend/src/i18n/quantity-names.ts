/** What a quantity is called: its symbol where that is what people say, else its name. */

import type { Quantity } from "../domain/quantities";
import { symbolOf } from "../format/units";
import { text } from "./index";

export function quantityName(quantity: Quantity): string {
  return text(`quantity.${quantity}`);
}

export function shortQuantityName(quantity: Quantity): string {
  return symbolOf(quantity) ?? (quantity === "tvoc" ? "TVOC" : quantityName(quantity));
}
