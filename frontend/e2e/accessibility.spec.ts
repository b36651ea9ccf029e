import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "./fixtures";
import { officeReading } from "./readings";

for (const colorScheme of ["light", "dark"] as const) {
  for (const path of [
    "/",
    "/digital-twin.html",
    "/login.html",
    "/devices.html",
    "/people.html",
    "/account.html",
  ]) {
    test(`${path} in ${colorScheme} colours breaks no accessibility rule`, async ({ page, server }) => {
      await page.emulateMedia({ colorScheme });
      await server.post(officeReading());
      await server.post(
        officeReading(
          { CO2: 5_000 },
          { sensor_id: "salon1", salle: "Salon", timestamp: "2024-01-01T00:00:00Z" },
        ),
      );
      await page.goto(server.origin + path);
      await page.getByRole("button", { name: /Bureau/ }).click();
      await expect(page.getByText("No new reading")).toBeVisible();
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
    });
  }
}

for (const colorScheme of ["light", "dark"] as const) {
  for (const path of ["/devices.html", "/people.html", "/account.html", "/login.html"]) {
    test.describe("where everybody has to log in", () => {
      test.use({ settings: { IAQ_AUTH: "required" } });

      test(`${path} in ${colorScheme} colours breaks no accessibility rule`, async ({
        page,
        server,
        expectedComplaints,
      }) => {
        // That one has to log in is what the pages find out first.
        expectedComplaints.push(/status of 401/);
        server.run(["user", "add", "ada", "--role", "admin"], "correct horse battery");
        server.run(["device-key", "add", "esp-*", "--label", "hall"]);
        await page.emulateMedia({ colorScheme });
        await page.goto(server.origin + path);
        await page.getByLabel("Name").fill("ada");
        await page.getByLabel("Password").fill("correct horse battery");
        if (path !== "/login.html") {
          await expect(async () => {
            await page.getByRole("button", { name: "Log in" }).click();
            await expect(page.getByRole("link", { name: "Account of ada" })).toBeVisible({ timeout: 2_000 });
          }).toPass();
        }
        const { violations } = await new AxeBuilder({ page }).analyze();
        expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
      });
    });
  }
}
