import type { Page } from "@playwright/test";
import { expect, SERVER_AWAY, test } from "./fixtures";
import { officeReading } from "./readings";

declare global {
  interface Window {
    webSocketsPass?: boolean;
    carbonDioxideHeard?: unknown[];
  }
}

/** Lets no handshake succeed, as some proxies do, until the page is told that WebSockets pass. */
async function breakUpgrades(page: Page): Promise<void> {
  await page.addInitScript(() => {
    window.WebSocket = class extends window.WebSocket {
      constructor(url: string | URL) {
        super(window.webSocketsPass ? url : String(url).replace("/ws", "/no-such-socket"));
      }
    };
  });
}

function letWebSocketsPass(page: Page): Promise<void> {
  return page.evaluate(() => {
    window.webSocketsPass = true;
    window.wsManager.connect();
  });
}

test("where no WebSocket passes, readings come as server-sent events until one does", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(SERVER_AWAY);
  await breakUpgrades(page);
  await server.post(officeReading());
  await page.goto(server.origin);
  const status = page.getByRole("status").filter({ hasText: "Events active" });
  await expect(status).toContainText("Connected");
  await expect(status).toContainText("Live via server-sent events");
  const card = page.locator("li[data-room='Bureau']");
  await expect(card).toContainText("645 ppm");

  const polls: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("/api/latest")) polls.push(request.url());
  });
  await server.post(officeReading({ CO2: 888 }));
  await expect(card).toContainText("888 ppm");
  expect(polls).toEqual([]);
  expect(await page.evaluate(() => window.wsManager.rung)).toBe("events");

  const streamEnd = page.waitForEvent("requestfailed", (request) => request.url().includes("/api/events"));
  await letWebSocketsPass(page);
  await expect(page.getByRole("status").filter({ hasText: "WebSocket active" })).toContainText(
    "Live via WebSocket",
  );
  await streamEnd;
  await server.post(officeReading({ CO2: 999 }));
  await expect(card).toContainText("999 ppm");
});

test("changing from events to the WebSocket misses nothing and repeats nothing", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(SERVER_AWAY);
  await breakUpgrades(page);
  await page.goto(server.origin);
  await expect(page.getByText("Events active")).toBeVisible();
  await page.evaluate(() => {
    const heard: unknown[] = [];
    window.carbonDioxideHeard = heard;
    window.wsManager.on("measurements", ({ values }) => heard.push(values?.CO2));
  });

  const sent = Array.from({ length: 40 }, (_, index) => 600 + index);
  for (const [index, value] of sent.entries()) {
    if (index === 20) await letWebSocketsPass(page);
    await server.post(officeReading({ CO2: value }));
  }
  await expect.poll(() => page.evaluate(() => window.wsManager.rung)).toBe("websocket");
  await server.post(officeReading({ CO2: 700 }));
  await expect(page.locator("li[data-room='Bureau']")).toContainText("700 ppm");
  // What came ahead of the replay may be heard before it, yet every value is heard once.
  expect(await page.evaluate(() => window.carbonDioxideHeard?.toSorted())).toEqual([...sent, 700]);
});

test("where events do not pass either, the page polls", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(SERVER_AWAY, /ERR_FAILED/);
  await breakUpgrades(page);
  let streams = 0;
  await page.route(/\/api\/events/, async (route) => {
    streams += 1;
    await route.abort();
  });
  await page.goto(server.origin);
  const status = page.getByRole("status").filter({ hasText: "WebSocket inactive" });
  await expect(status).toContainText("Connected");
  await expect(status).toContainText("Updated every 3 s by polling");
  await expect.poll(() => streams).toBeGreaterThan(0);
  await expect(page.getByRole("button", { name: "Retry now" })).toBeVisible();

  await server.post(officeReading());
  const card = page.locator("li[data-room='Bureau']");
  await expect(card).toContainText("645 ppm");
  await server.post(officeReading({ CO2: 777 }));
  await expect(card).toContainText("777 ppm");
});
