import { expect, test } from "./fixtures";
import { officeReading } from "./readings";

test("an empty building tells how to post a first reading", async ({ page, server }) => {
  await page.goto(server.origin);
  await expect(page.getByRole("heading", { name: "No readings yet" })).toBeVisible();
  await expect(page.getByText(`curl ${server.origin}/api/ingest`)).toBeVisible();
});

test("a posted reading appears and is updated without a reload", async ({ page, server }) => {
  await page.goto(server.origin);
  await expect(page.getByRole("status").filter({ hasText: "WebSocket active" })).toContainText("Connected");

  await server.post(officeReading());
  const card = page.locator("li[data-room='Bureau']");
  await expect(card).toContainText("645 ppm");
  await expect(card).toContainText("22.3 °C");
  await expect(card).not.toHaveAttribute("data-level", "unknown");

  await server.post(officeReading({ CO2: 1_234 }));
  await expect(card).toContainText("1,234 ppm");
  await expect(page.locator("#metric-co2")).toContainText("1,234");
});

test("a second room appears by itself and is chosen with the keyboard", async ({ page, server }) => {
  await server.post(officeReading());
  await page.goto(server.origin);
  await expect(page.getByRole("heading", { name: "Bureau", level: 2 })).toBeVisible();

  await server.post(officeReading({ CO2: 800 }, { sensor_id: "salon1", salle: "Salon" }));
  const salon = page.getByRole("button", { name: "Salon" });
  await salon.focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Salon", level: 2 })).toBeVisible();
  await expect(salon).toHaveAttribute("aria-pressed", "true");
  await expect(page.locator("#chart-co2-summary")).toContainText("last 800 ppm");

  await page.reload();
  await expect(page.getByRole("heading", { name: "Salon", level: 2 })).toBeVisible();
});

test("names are shown as text, whatever they contain", async ({ page, server }) => {
  const hostile = "<img src=x onerror=alert(1)>";
  await server.post(officeReading({}, { enseigne: hostile, salle: hostile }));
  await page.goto(server.origin);
  await expect(page.getByRole("button", { name: hostile })).toBeVisible();
  await expect(page.getByRole("heading", { name: hostile, level: 2 })).not.toHaveCount(0);
  await expect(page.locator("img[src='x']")).toHaveCount(0);
});

test("the chart's readings can be had as a table", async ({ page, server }) => {
  const minuteAgo = new Date(Date.now() - 60_000).toISOString();
  await server.post(officeReading({ CO2: 611 }, { timestamp: minuteAgo }));
  await server.post(officeReading({ CO2: 622 }));
  await page.goto(server.origin);
  const chart = page.locator("#chart-co2");
  await chart.getByRole("button", { name: "Show as table" }).click();
  await expect(chart.getByRole("row")).toContainText(["Time", "622 ppm", "611 ppm"]);
});

test("the language can be switched and is remembered", async ({ page, server }) => {
  await server.post(officeReading());
  await page.goto(server.origin);
  await page.getByRole("button", { name: "Français" }).click();
  await expect(page.getByRole("link", { name: "Tableau de bord" })).toBeVisible();
  await expect(page.getByText("WebSocket Actif")).toBeVisible();
  await page.reload();
  await expect(page.getByRole("link", { name: "Tableau de bord" })).toBeVisible();
});

test("paused, the page stands still and catches up afterwards", async ({ page, server }) => {
  await server.post(officeReading());
  await page.goto(server.origin);
  const card = page.locator("li[data-room='Bureau']");
  await expect(card).toContainText("645 ppm");
  await page.getByRole("button", { name: "Pause updates" }).click();

  await page.evaluate(() =>
    window.wsManager.on("measurements", () => document.documentElement.setAttribute("data-received", "yes")),
  );
  await server.post(officeReading({ CO2: 999 }));
  await expect(page.locator("html")).toHaveAttribute("data-received", "yes");
  await expect(card).toContainText("645 ppm");
  await page.getByRole("button", { name: "Resume updates" }).click();
  await expect(card).toContainText("999 ppm");
});
