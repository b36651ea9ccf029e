import { expect, test } from "vitest";
import { USE_WEBSOCKET, websocketWanted } from "./charts";

test("the WebSocket is on, unless the page's address says otherwise", () => {
  expect(USE_WEBSOCKET).toBe(true);
  expect(websocketWanted("")).toBe(true);
  expect(websocketWanted("?websocket=on")).toBe(true);
  expect(websocketWanted("?websocket=off")).toBe(false);
});
