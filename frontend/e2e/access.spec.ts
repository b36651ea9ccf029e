import type { Page } from "@playwright/test";
import { expect, test } from "./fixtures";
import { officeReading } from "./readings";
import type { Server } from "./server";

/** What Chromium logs when a page finds that somebody has to log in first. */
const REFUSED = /status of 40[13]|status of 42[29]/;
const PASSWORD = "correct horse battery";
const HOSTILE = "<img src=x onerror=alert(1)>";

test.use({ settings: { IAQ_AUTH: "required", IAQ_RATE_LOGIN: "0" } });

/** What a hostile or careless sender has in its names must show as text. */
async function withPeople(server: Server): Promise<string> {
  server.run(["user", "add", "ada", "--role", "admin"], PASSWORD);
  const key = server.run(["device-key", "add", "*", "--label", HOSTILE]);
  // The server looks for changes of others every second.
  await expect(() => server.post(officeReading(), key)).toPass();
  return key;
}

async function logIn(page: Page, name = "ada", password = PASSWORD): Promise<void> {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

test("whoever has to log in comes back to the page he wanted", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(REFUSED);
  await withPeople(server);
  await page.goto(`${server.origin}/devices.html`);
  await expect(page).toHaveURL(/login\.html\?next=%2Fdevices\.html/);
  await expect(page.getByLabel("Name")).toBeFocused();

  await logIn(page, "ada", "not the password");
  await expect(page.getByRole("alert")).toHaveText("Name or password is not right.");
  await logIn(page);
  await expect(page).toHaveURL(`${server.origin}/devices.html`);
  await expect(page.getByRole("link", { name: "Account of ada" })).toBeVisible();
});

test("a page outlives its token and the server", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(REFUSED, /ERR_CONNECTION|WebSocket connection/);
  const key = await withPeople(server);
  await page.goto(server.origin);
  await logIn(page);
  await expect(page.getByRole("status").filter({ hasText: "WebSocket active" })).toContainText("Connected");
  await page.reload();
  const card = page.locator("li[data-room='Bureau']");
  await expect(card).toContainText("645 ppm");
  expect(
    await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie])),
  ).not.toContain("eyJ");

  // Without a secret of its own a server signs with another one after each start.
  const { port } = server;
  await server.kill();
  await server.start(port);
  await expect(() => server.post(officeReading({ CO2: 1_234 }), key)).toPass();
  await expect(card).toContainText("1,234 ppm", { timeout: 30_000 });
});

test.describe("with tokens of three seconds", () => {
  test.use({ settings: { IAQ_AUTH: "required", IAQ_TOKEN_TTL: "3s" } });

  test("a page stays live on one connection", async ({ page, server, expectedComplaints }) => {
    expectedComplaints.push(REFUSED);
    const key = await withPeople(server);
    let sockets = 0;
    let renewals = 0;
    page.on("websocket", (socket) => {
      sockets += 1;
      socket.on("framesent", ({ payload }) => {
        if (String(payload).includes('"auth"')) renewals += 1;
      });
    });
    await page.goto(server.origin);
    await logIn(page);
    await expect(page.locator("li[data-room='Bureau']")).toContainText("645 ppm");
    await expect.poll(() => renewals, { timeout: 20_000 }).toBeGreaterThan(2);
    await server.post(officeReading({ CO2: 999 }), key);
    await expect(page.locator("li[data-room='Bureau']")).toContainText("999 ppm");
    expect(sockets).toBe(1);
  });
});

test("who logs out in one tab is out in all", async ({ page, context, server, expectedComplaints }) => {
  expectedComplaints.push(REFUSED);
  await withPeople(server);
  await page.goto(server.origin);
  await logIn(page);
  await expect(page.getByRole("button", { name: "Log out" })).toBeVisible();
  const other = await context.newPage();
  await other.goto(server.origin);
  await expect(other.getByRole("button", { name: "Log out" })).toBeVisible();
  await page.getByRole("button", { name: "Log out" }).click();
  for (const tab of [page, other]) await expect(tab).toHaveURL(/login\.html/);
  await page.goto(server.origin);
  await expect(page).toHaveURL(/login\.html/);
});

test("a new sensor is adopted from the page", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(REFUSED);
  await withPeople(server);
  await page.goto(`${server.origin}/devices.html`);
  await logIn(page);
  await page.getByLabel("Site").fill("Maison");
  await page.getByLabel("Room").fill("Cuisine");
  await page.getByRole("button", { name: "Get a code" }).click();
  const code = await page.locator("[data-claim-code]").textContent();
  await expect(page.getByText("Waiting for the sensor")).toBeVisible();

  const response = await fetch(`${server.origin}/api/claims/redeem`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code, sensor_id: "esp-1" }),
  });
  const { key } = (await response.json()) as { key: string };
  await expect(page.getByText("esp-1 has its key")).toBeVisible();
  await server.post({ sensor_id: "esp-1", enseigne: "x", salle: "y", values: { CO2: 500 } }, key);
  await expect(page.getByText("esp-1 is adopted")).toBeVisible();
  await expect(page.getByRole("cell", { name: "Maison · Cuisine" })).toBeVisible();
});

test("a key is made, shown once and revoked, and hostile names are text", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(REFUSED);
  await withPeople(server);
  await page.goto(`${server.origin}/devices.html`);
  await logIn(page);
  await expect(page.getByRole("cell", { name: HOSTILE })).toBeVisible();
  await page.getByLabel("Sensors", { exact: true }).fill("hall-*, hall2");
  await page.getByLabel("What it is for").fill("the hall");
  await page.getByRole("button", { name: "Make a key" }).click();
  await expect(page.getByText(/^iaqk_/)).toBeVisible();
  await page.getByRole("button", { name: "I have it" }).click();
  await expect(page.getByText(/^iaqk_/)).toHaveCount(0);
  const row = page.getByRole("row").filter({ hasText: "the hall" });
  await expect(row).toContainText("hall-*, hall2");
  await row.getByRole("button", { name: "Revoke" }).click();
  await row.getByRole("button", { name: "Really revoke" }).click();
  await expect(row).toHaveCount(0);
});

test("an admin lets somebody in who then sees one site", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(REFUSED);
  const key = await withPeople(server);
  await server.post({ sensor_id: "x", enseigne: "Elsewhere", salle: "Hidden", values: { CO2: 1 } }, key);
  await page.goto(`${server.origin}/people.html`);
  await logIn(page);
  await expect(page.getByRole("heading", { name: "Add somebody" })).toBeVisible();
  await page.getByLabel("Name").fill("grace");
  await page.getByLabel("Password", { exact: true }).fill("short");
  await page.getByLabel("Sites", { exact: true }).fill("Maison");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await expect(page.getByText("must have 10 to 256 characters")).toBeVisible();
  await page.getByLabel(/^Password/).fill(PASSWORD);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await expect(page.locator("[data-account='grace']")).toBeVisible();
  await page.getByRole("button", { name: "Log out" }).click();

  await logIn(page, "grace");
  await expect(page.getByRole("link", { name: "Account of grace" })).toBeVisible();
  await page.goto(server.origin);
  await expect(page.locator("li[data-room='Bureau']")).toBeVisible();
  await expect(page.getByText("Hidden")).toHaveCount(0);
  await expect(page.getByRole("link", { name: "Devices" })).toHaveCount(0);
  await expect(page.getByRole("link", { name: "People" })).toHaveCount(0);
});

test("another password ends the session", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(REFUSED);
  await withPeople(server);
  await page.goto(`${server.origin}/account.html`);
  await logIn(page);
  await page.getByLabel("Current password").fill(PASSWORD);
  await page.getByLabel("New password").fill("another password");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page).toHaveURL(/login\.html/);
  await logIn(page, "ada", "another password");
  await expect(page.getByRole("heading", { name: "ada" })).toBeVisible();
});

test("the API is described on a page that keeps to the content policy", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(REFUSED);
  await withPeople(server);
  await page.goto(`${server.origin}/docs`);
  await logIn(page);
  await expect(page).toHaveURL(`${server.origin}/docs`);
  await expect(page.getByText("/api/device-keys", { exact: true }).first()).toBeVisible();
});
