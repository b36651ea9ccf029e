import { expect, test } from "./fixtures";
import { officeReading } from "./readings";

test("the twin shows a room and follows its level", async ({ page, server }) => {
  await server.post(officeReading());
  await page.goto(`${server.origin}/digital-twin.html`);
  const room = page.locator("li[data-room='Bureau']");
  await expect(room).toBeVisible();
  await expect(room).not.toHaveAttribute("data-level", "very_poor");
  await expect(page.locator("[data-state='drawing']")).toBeVisible();
  await expect(page.getByRole("img", { name: /1 rooms as boxes/ })).toBeVisible();

  await server.post(officeReading({ CO2: 5_000, PM25: 400, TVOC: 6_000, Temperature: 38, Humidity: 95 }));
  await expect(room).toHaveAttribute("data-level", "very_poor");
  await expect(room).toContainText("Very poor");
  await expect(page.getByRole("img", { name: /1 × Very poor/ })).toBeVisible();

  await page.getByRole("button", { name: /Bureau/ }).click();
  await expect(page.getByRole("region", { name: "Room details" })).toContainText("5,000 ppm");
});

test("without WebGL the list remains and the page says so", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(/Error creating WebGL context/);
  await page.addInitScript(() => {
    HTMLCanvasElement.prototype.getContext = () => null;
  });
  await server.post(officeReading());
  await page.goto(`${server.origin}/digital-twin.html`);
  await expect(page.getByText("3D is not available in this browser")).toBeVisible();
  await expect(page.locator("li[data-room='Bureau']")).toBeVisible();
});

test("a lost graphics context is told and the list goes on", async ({ page, server }) => {
  await server.post(officeReading());
  await page.goto(`${server.origin}/digital-twin.html`);
  await expect(page.locator("[data-state='drawing']")).toBeVisible();
  await page.locator("canvas").dispatchEvent("webglcontextlost");
  await expect(page.getByText("The graphics device stopped")).toBeVisible();

  await server.post(officeReading({}, { sensor_id: "salon1", salle: "Salon" }));
  await expect(page.locator("li[data-room='Salon']")).toBeVisible();
});
