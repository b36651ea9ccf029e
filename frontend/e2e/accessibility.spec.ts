import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "./fixtures";
import { officeReading } from "./readings";

for (const colorScheme of ["light", "dark"] as const) {
  for (const path of ["/", "/digital-twin.html"]) {
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
