import type { Locator, Page } from "@playwright/test";
import { expect, test } from "./fixtures";
import { officeReading } from "./readings";

/** A box of one metre whose material has a picture in the file. */
function box(): Buffer {
  const corners = [0, 1].flatMap((x) => [0, 1].flatMap((y) => [0, 1].map((z) => [x, y, z])));
  const faces = [
    0, 1, 3, 0, 3, 2, 4, 6, 7, 4, 7, 5, 0, 4, 5, 0, 5, 1, 2, 3, 7, 2, 7, 6, 0, 2, 6, 0, 6, 4, 1, 5, 7, 1, 7,
    3,
  ];
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
    "base64",
  );
  const binary = Buffer.concat([
    Buffer.from(new Float32Array(corners.flat()).buffer),
    Buffer.from(new Uint16Array(faces).buffer),
    Buffer.from(new Float32Array(16).fill(0.5).buffer),
    png,
  ]);
  const views = [96, 72, 64, png.length].map((byteLength, index, all) => ({
    buffer: 0,
    byteOffset: all.slice(0, index).reduce((sum, length) => sum + length, 0),
    byteLength,
  }));
  return glb(
    {
      asset: { version: "2.0" },
      scenes: [{ nodes: [0] }],
      scene: 0,
      nodes: [{ mesh: 0 }],
      meshes: [{ primitives: [{ attributes: { POSITION: 0, TEXCOORD_0: 2 }, indices: 1, material: 0 }] }],
      materials: [{ pbrMetallicRoughness: { baseColorTexture: { index: 0 }, metallicFactor: 0 } }],
      textures: [{ source: 0 }],
      images: [{ bufferView: 3, mimeType: "image/png" }],
      accessors: [
        { bufferView: 0, componentType: 5126, count: 8, type: "VEC3", min: [0, 0, 0], max: [1, 1, 1] },
        { bufferView: 1, componentType: 5123, count: 36, type: "SCALAR" },
        { bufferView: 2, componentType: 5126, count: 8, type: "VEC2" },
      ],
      bufferViews: views,
      buffers: [{ byteLength: binary.length }],
    },
    binary,
  );
}

function glb(document: object, binary: Buffer): Buffer {
  const chunk = (kind: string, content: Buffer, padding: string): Buffer => {
    const padded = Buffer.concat([content, Buffer.from(padding.repeat(-content.length & 3))]);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(padded.length);
    head.write(kind, 4);
    return Buffer.concat([head, padded]);
  };
  const chunks = [chunk("JSON", Buffer.from(JSON.stringify(document)), " "), chunk("BIN\0", binary, "\0")];
  const head = Buffer.alloc(12);
  head.write("glTF");
  head.writeUInt32LE(2, 4);
  head.writeUInt32LE(12 + chunks.reduce((sum, { length }) => sum + length, 0), 8);
  return Buffer.concat([head, ...chunks]);
}

async function choose(page: Page, buffer: Buffer): Promise<void> {
  const file = { name: "../../room.glb", mimeType: "application/octet-stream", buffer };
  await page.locator("input[type='file']").setInputFiles(file);
}

/** How many different colours are seen in the middle of an element. */
async function colours(element: Locator): Promise<number> {
  const picture = (await element.screenshot()).toString("base64");
  return element.page().evaluate(async (source) => {
    const image = new Image();
    image.src = `data:image/png;base64,${source}`;
    await image.decode();
    const copy = document.createElement("canvas");
    const context = copy.getContext("2d");
    context?.drawImage(image, -image.width / 4, -image.height / 4);
    const pixels = context?.getImageData(0, 0, image.width / 2, image.height / 2).data ?? [];
    const found = new Set<string>();
    for (let at = 0; at < pixels.length; at += 4) found.add(Array.from(pixels.slice(at, at + 4)).join());
    return found.size;
  }, picture);
}

test("an operator gives a room a model, sees it, and takes it away again", async ({ page, server }) => {
  await server.post(officeReading());
  await page.goto(`${server.origin}/digital-twin.html`);
  await page.getByRole("button", { name: /Bureau/ }).click();
  const model = page.getByRole("region", { name: "3D model of the room" });
  await expect(model).toContainText("This room has no 3D model.");

  await choose(page, box());
  await expect(model).toHaveAttribute("data-model", "shown");
  const canvas = model.getByRole("img", { name: "3D model of Bureau" });
  await expect(canvas).toBeVisible();
  // The sides of the box have the light from different directions.
  await expect.poll(() => colours(canvas)).toBeGreaterThan(2);

  await page.reload();
  await expect(model).toHaveAttribute("data-model", "shown");
  await choose(page, box());
  await expect(model).toHaveAttribute("data-model", "shown");

  await model.getByRole("button", { name: "Remove the 3D model" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove the 3D model" }).click();
  await expect(model).toContainText("This room has no 3D model.");
});

test("a file that is no model is told so", async ({ page, server, expectedComplaints }) => {
  expectedComplaints.push(/422/);
  await server.post(officeReading());
  await page.goto(`${server.origin}/digital-twin.html`);
  await page.getByRole("button", { name: /Bureau/ }).click();
  const alert = page.getByRole("region", { name: "3D model of the room" }).getByRole("alert");

  await choose(page, Buffer.from("<!doctype html>"));
  await expect(alert).toContainText("This is no complete GLB file");
  await choose(
    page,
    glb({ asset: { version: "2.0" }, images: [{ uri: "https://elsewhere.example" }] }, Buffer.alloc(4)),
  );
  await expect(alert).toContainText("everything in one file");
});
