import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, SERVER_AWAY, test } from "./fixtures";
import { officeReading } from "./readings";
import type { Server } from "./server";

const PASSWORD = "a long password";

/** What Chromium itself logs of an answer that is no success; each test expects its own. */
const REFUSED = /status of 401/;
const NOT_FOUND = /status of 404/;
const HOSTILE = "<img src=x onerror=alert(1)>";

const REQUIRED = { IAQ_AUTH: "required", IAQ_JWT_SECRET: "a secret of at least thirty-two bytes" };

test.use({
  settings: REQUIRED,
  // An option that is a list has to be in a list of its own.
  accounts: [
    [
      { name: "ada", password: PASSWORD, role: "admin" },
      { name: "vic", password: PASSWORD, role: "viewer" },
    ],
    { scope: "test" },
  ],
});

test.beforeEach(({ expectedComplaints }) => {
  expectedComplaints.push(REFUSED);
});

async function logIn(page: Page, name = "ada"): Promise<void> {
  await expect(page.getByLabel("Name")).toBeFocused();
  await page.keyboard.type(name);
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => !url.pathname.startsWith("/login"));
}

/** A key for any sensor, got as a person gets it. */
async function deviceKey(server: Server): Promise<string> {
  const tokens = await server.send("/api/auth/login", { name: "ada", password: PASSWORD });
  const made = await server.send(
    "/api/device-keys",
    { sensors: ["*"] },
    (tokens as { access_token: string }).access_token,
  );
  return (made as { key: string }).key;
}

test("a wrong password is told, the right one leads to where the reader wanted to go, live", async ({
  page,
  server,
}) => {
  const key = await deviceKey(server);
  await server.post(officeReading({ CO2: 701 }), key);
  await page.goto(`${server.origin}/digital-twin.html`);
  await page.waitForURL(/login\.html\?next=/);
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toHaveText("Wrong name or password.");
  await expect(page.getByLabel("Password")).toBeFocused();

  await page.getByRole("button", { name: "Show" }).click();
  await expect(page.getByLabel("Password")).toHaveAttribute("type", "text");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByLabel("Password").press("Enter");
  await page.waitForURL(/digital-twin\.html$/);

  await page.getByRole("link", { name: "Dashboard" }).click();
  const card = page.locator("li[data-room='Bureau']");
  await expect(card).toContainText("701 ppm");
  await expect(page.getByRole("status").filter({ hasText: "WebSocket active" })).toBeVisible();
  await server.post(officeReading({ CO2: 702 }), key);
  await expect(card).toContainText("702 ppm");
  await page.getByRole("button", { name: "Account of ada" }).click();
  await expect(page.getByText("Administrator")).toBeVisible();
});

test("too many attempts are told with the time to wait", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(/status of 429/);
  await page.goto(`${server.origin}/login`);
  await page.getByLabel("Name").fill("ada");
  for (let attempt = 0; attempt < 12; attempt += 1) {
    await page.getByLabel("Password").fill("not the password");
    await page.getByLabel("Password").press("Enter");
    await expect(page.getByRole("alert")).not.toBeEmpty();
    if ((await page.getByRole("alert").textContent())?.startsWith("Too many")) break;
  }
  await expect(page.getByRole("alert")).toHaveText(/^Too many attempts\. Try again in \d+ s\.$/);
  await expect(page.getByRole("button", { name: "Log in" })).toBeDisabled();
});

test("logging out in one tab leaves in both", async ({ page, context, server }) => {
  await page.goto(server.origin);
  await logIn(page);
  await expect(page.getByText("No readings yet")).toBeVisible();
  const other = await context.newPage();
  await other.goto(`${server.origin}/devices.html`);
  await expect(other.getByRole("heading", { name: "Device keys" })).toBeVisible();

  await page.getByRole("button", { name: "Account of ada" }).click();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(/\/login\.html$/);
  await other.waitForURL(/\/login\.html\?next=%2Fdevices\.html$/);
  await page.goto(server.origin);
  await page.waitForURL(/login\.html/);
});

test("a sensor is adopted by its code", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(NOT_FOUND);
  await page.goto(`${server.origin}/devices`);
  await logIn(page);
  const panel = page.getByRole("region", { name: "Add a sensor" });
  await panel.getByLabel("Site").fill("Maison");
  await panel.getByLabel("Room").fill("Grenier");
  await panel.getByRole("button", { name: "Get a code" }).click();
  const code = await panel.getByText(/^[A-Z0-9]{4}-[A-Z0-9]{4}$/).textContent();
  await expect(panel.getByText(/Valid for another 9:\d\d/)).toBeVisible();

  const redeemed = await server.send("/api/claims/redeem", { code, sensor_id: "esp-1" });
  await expect(panel.getByText("esp-1 has its key. Waiting for its first reading…")).toBeVisible();
  await expect(page.getByRole("cell", { name: "esp-1", exact: true })).toBeVisible();

  const reading = officeReading({ CO2: 703 }, { sensor_id: "esp-1", salle: "Grenier" });
  await server.post(reading, (redeemed as { key: string }).key);
  await expect(panel.getByText("esp-1 is adopted in Grenier, Maison")).toBeVisible();
  await panel.getByRole("link", { name: "Open the room" }).click();
  await expect(page.locator("li[data-room='Grenier']")).toContainText("703 ppm");
});

test("a device key is shown once, and revoked; hostile names are text", async ({ page, server }) => {
  await page.goto(`${server.origin}/devices`);
  await logIn(page);
  const form = page.getByRole("region", { name: "New device key" });
  await form.getByLabel("Label").fill(HOSTILE);
  await form.getByLabel("Sensors").fill("esp-*");
  await form.getByLabel("Site (optional)").fill(HOSTILE);
  await form.getByLabel("Room (optional)").fill(HOSTILE);
  await form.getByRole("button", { name: "Create the key" }).click();
  const key = await form.getByText(/^iaqk_/).textContent();
  await server.post(officeReading({}, { sensor_id: "esp-1" }), key ?? "");

  const keys = page.getByRole("region", { name: "Device keys" });
  await expect(keys.getByRole("rowheader")).toContainText(HOSTILE);
  await page.reload();
  await expect(keys.getByRole("cell", { name: `${HOSTILE} – ${HOSTILE}` })).toBeVisible();
  await expect(page.getByText(/^iaqk_/)).toHaveCount(0);
  await expect(page.locator("main img")).toHaveCount(0);

  await keys.getByRole("button", { name: "Revoke" }).click();
  const dialog = page.getByRole("dialog", { name: `Revoke ${HOSTILE}` });
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await expect(keys.getByText("There are no device keys yet.")).toBeVisible();
  await expect(server.post(officeReading(), key ?? "")).rejects.toThrow("401");
});

test("people are added, changed and removed, and faults are told beside their fields", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(/status of (409|422)/);
  await page.goto(`${server.origin}/people`);
  await logIn(page);
  await page.getByRole("button", { name: "Add a person" }).click();
  const added = page.getByRole("dialog", { name: "Add a person" });
  await added.getByLabel("Name").fill("b b");
  await added.getByLabel("Password").fill("short");
  await added.getByRole("button", { name: "Add a person" }).click();
  await expect(added.getByText("Must be 1 to 64 of A-Z a-z 0-9 . _ - @ +")).toBeVisible();
  await expect(added.getByText("Must have 10 to 256 characters.")).toBeVisible();
  await added.getByLabel("Name").fill("bob");
  await added.getByLabel("Password").fill(PASSWORD);
  await added.getByLabel("Only these:").check();
  await added.getByLabel("Another site").fill(HOSTILE);
  await added.getByLabel("Another site").press("Enter");
  await added.getByRole("button", { name: "Add a person" }).click();
  await expect(page.getByRole("cell", { name: HOSTILE })).toBeVisible();

  await page.getByRole("button", { name: "Change bob" }).click();
  await page.getByRole("dialog").getByLabel("Role").selectOption("operator");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("cell", { name: "Operator" })).toBeVisible();

  await page.getByRole("button", { name: "Remove ada" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await expect(page.getByRole("alert")).toContainText("the last administrator");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Remove bob" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await expect(page.getByRole("rowheader", { name: "bob" })).toHaveCount(0);
});

test("a changed password ends the session", async ({ page, server }) => {
  await page.goto(server.origin);
  await logIn(page);
  await page.getByRole("button", { name: "Account of ada" }).click();
  await page.getByRole("button", { name: "Change password" }).click();
  const dialog = page.getByRole("dialog", { name: "Change password" });
  await dialog.getByLabel("Current password").fill(PASSWORD);
  await dialog.getByLabel("New password").fill("another long password");
  await dialog.getByRole("button", { name: "Change password" }).click();
  await page.waitForURL(/login\.html/);
  await expect(page.getByLabel("Name")).toBeFocused();
});

test("a viewer is offered what viewers may do, and told of the rest", async ({
  page,
  server,
  expectedComplaints,
}) => {
  expectedComplaints.push(/status of 403/);
  await page.goto(server.origin);
  await logIn(page, "vic");
  await expect(page.getByRole("button", { name: "Account of vic" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Devices" })).toHaveCount(0);
  await expect(page.getByRole("link", { name: "People" })).toHaveCount(0);
  await page.goto(`${server.origin}/people`);
  await expect(page.getByRole("alert").first()).toContainText("You may not do this.");
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`in ${colorScheme} colours the pages of access break no accessibility rule`, async ({
    page,
    server,
  }) => {
    const check = async (): Promise<void> => {
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
    };
    await page.emulateMedia({ colorScheme });
    await deviceKey(server);
    await page.goto(`${server.origin}/devices`);
    await expect(page.getByLabel("Name")).toBeFocused();
    await check();
    await logIn(page);
    await expect(page.getByRole("table")).toBeVisible();
    await page.getByLabel("Site", { exact: true }).fill("Maison");
    await page.getByLabel("Room", { exact: true }).fill("Bureau");
    await page.getByRole("button", { name: "Get a code" }).click();
    await expect(page.getByText("Waiting for a sensor")).toBeVisible();
    await check();
    await page.goto(`${server.origin}/people`);
    await page.getByRole("button", { name: "Account of ada" }).click();
    await check();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Add a person" }).click();
    await page.getByLabel("Only these:").check();
    await check();
  });
}

test("the API's documentation is read with the session", async ({ page, server }) => {
  await page.goto(`${server.origin}/docs`);
  await logIn(page);
  await expect(page.getByText("/api/latest", { exact: true })).toBeVisible();
  await page.getByText("/api/latest", { exact: true }).click();
  await page.getByRole("button", { name: "Try it out" }).click();
  await page.getByRole("button", { name: "Execute" }).click();
  await expect(page.locator(".live-responses-table .response-col_status").last()).toContainText("200");
});

test.describe("with tokens of three seconds", () => {
  test.use({ settings: { ...REQUIRED, IAQ_TOKEN_TTL: "3s" } });

  test("the page stays live on one and the same connection", async ({ page, server }) => {
    const key = await deviceKey(server);
    let sockets = 0;
    page.on("websocket", () => {
      sockets += 1;
    });
    await page.goto(server.origin);
    await logIn(page);
    const status = page.getByRole("status").filter({ hasText: "WebSocket active" });
    await expect(status).toBeVisible();
    const socketsBefore = sockets;
    for (const CO2 of [711, 712, 713]) {
      await page.waitForTimeout(3_000);
      await server.post(officeReading({ CO2 }), key);
      await expect(page.locator("li[data-room='Bureau']")).toContainText(`${CO2} ppm`, { timeout: 2_000 });
      await expect(status).toContainText("Live via WebSocket");
    }
    expect(sockets).toBe(socketsBefore);
  });
});

test.describe("where nobody has to log in", () => {
  test.use({ settings: { IAQ_AUTH: "off" } });

  test("nothing about login is shown, and sensors can be added", async ({ page, server }) => {
    await page.goto(server.origin);
    await expect(page.getByRole("link", { name: "Devices" })).toBeVisible();
    await expect(page.getByRole("link", { name: "People" })).toHaveCount(0);
    await expect(page.getByRole("button", { name: /Account/ })).toHaveCount(0);
    await page.getByRole("link", { name: "Devices" }).click();
    await expect(page.getByRole("button", { name: "Get a code" })).toBeVisible();
    await page.goto(`${server.origin}/login?next=/devices.html`);
    await page.waitForURL(/devices\.html$/);
  });
});

test.describe("on a server that makes its secret up at each start", () => {
  test.use({ settings: { IAQ_AUTH: "required" } });

  test("the page outlives a kill of the server without another login", async ({
    page,
    server,
    expectedComplaints,
  }) => {
    expectedComplaints.push(SERVER_AWAY);
    const key = await deviceKey(server);
    await server.post(officeReading(), key);
    await page.goto(server.origin);
    await page.waitForURL(/login/);
    await logIn(page);
    const card = page.locator("li[data-room='Bureau']");
    await expect(card).toContainText("645 ppm");
    const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie]));
    expect(kept).not.toMatch(/eyJ|iaqr_/);

    const { port } = server;
    await server.kill();
    await server.start(port);
    await server.post(officeReading({ CO2: 1_234 }), key);
    await expect(card).toContainText("1,234 ppm", { timeout: 30_000 });
    await expect(page.getByRole("status").filter({ hasText: "WebSocket active" })).toBeVisible({
      timeout: 30_000,
    });
  });
});
