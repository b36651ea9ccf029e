import { expect, SERVER_AWAY, test } from "./fixtures";
import { officeReading } from "./readings";

test("a killed server is told, and its return is live again with no hole", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(SERVER_AWAY);
  const port = server.port;
  await server.post(officeReading({ CO2: 701 }));
  await page.goto(server.origin);
  const card = page.locator("li[data-room='Bureau']");
  const status = page.getByRole("status").filter({ hasText: "WebSocket" });
  await expect(card).toContainText("701 ppm");
  await expect(status).toContainText("WebSocket active");
  await page.evaluate(() => {
    document.title = "not reloaded";
  });

  await server.kill();
  await expect(status).toContainText("Disconnected");
  await expect(status).toContainText("Server not reachable: showing data of");
  await expect(page.getByText(/Attempt \d+/)).toBeVisible();
  await expect(page.getByRole("button", { name: "Retry now" })).toBeVisible();
  await expect(card).toContainText("701 ppm");

  // Stored while the page cannot see it: the server runs for a moment where nobody looks.
  await server.start();
  await server.post(officeReading({ CO2: 702 }, { timestamp: new Date(Date.now() - 90_000).toISOString() }));
  await server.kill();
  await server.start(port);

  await expect(status).toContainText("WebSocket active", { timeout: 40_000 });
  await expect(status).toContainText("Connected");
  await server.post(officeReading({ CO2: 703 }));
  await expect(card).toContainText("703 ppm");
  expect(await page.title()).toBe("not reloaded");

  const chart = page.locator("#chart-co2");
  await chart.getByRole("button", { name: "Show as table" }).click();
  await expect(chart.getByRole("row")).toContainText(["Time", "703 ppm", "701 ppm", "702 ppm"]);
});

test("with the socket closed from the console, polling takes over until it is back", async ({
  page,
  server,
}) => {
  await server.post(officeReading());
  await page.goto(server.origin);
  const status = page.getByRole("status").filter({ hasText: "WebSocket" });
  await expect(status).toContainText("WebSocket active");

  await page.evaluate(() => window.wsManager.disconnect());
  await expect(status).toContainText("Updated every 3 s");
  await server.post(officeReading({ CO2: 888 }));
  await expect(page.locator("li[data-room='Bureau']")).toContainText("888 ppm");

  await page.evaluate(() => window.wsManager.connect());
  await expect(status).toContainText("WebSocket active");
  expect(await page.evaluate(() => window.wsManager.isConnectionActive())).toBe(true);
});

test("switched off, the WebSocket is never opened and polling shows new readings", async ({
  page,
  server,
}) => {
  let sockets = 0;
  page.on("websocket", () => {
    sockets += 1;
  });
  await page.goto(`${server.origin}/?websocket=off`);
  await expect(page.getByRole("status").filter({ hasText: "WebSocket inactive" })).toContainText(
    "Updated every 3 s",
  );

  await server.post(officeReading());
  const card = page.locator("li[data-room='Bureau']");
  await expect(card).toContainText("645 ppm");
  await server.post(officeReading({ CO2: 1_111 }));
  await expect(card).toContainText("1,111 ppm");
  expect(sockets).toBe(0);
});
