/** A server per test, and a page that fails the test when the browser complained. */

import { test as base, expect } from "@playwright/test";
import { type Account, Server, type Settings } from "./server";

interface Fixtures {
  /** Environment variables of the server's; a test sets them by `test.use`. */
  settings: Settings;
  accounts: Account[];
  server: Server;
  /** Complaints that belong to the test, such as a refused connection after the server was killed. */
  expectedComplaints: RegExp[];
}

export const test = base.extend<Fixtures>({
  settings: [{}, { option: true }],
  accounts: [[], { option: true }],
  server: async ({ settings, accounts }, use) => {
    const server = await Server.create(settings, accounts);
    await use(server);
    await server.destroy();
  },
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads what a fixture needs from the pattern
  expectedComplaints: async ({}, use) => {
    await use([]);
  },
  // Asks for the server only to be judged before it is killed, which the browser would complain about.
  page: async ({ page, server: _, expectedComplaints }, use) => {
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("dialog", (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await use(page);
    const unexpected = complaints.filter((text) => !expectedComplaints.some((pattern) => pattern.test(text)));
    expect(unexpected, "errors and content security violations in the browser").toEqual([]);
  },
});

export { expect };

/** What Chromium itself logs when nobody listens. */
export const SERVER_AWAY =
  /ERR_CONNECTION_(REFUSED|RESET)|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|WebSocket connection to/;
