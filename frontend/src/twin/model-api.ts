/** The calls about 3D models of rooms. */

import type { Credentials } from "../access/credentials";
import { authorized, jsonArray, request } from "../api/request";
import { unchecked } from "../api/schemas";
import { type Progress, sendFile } from "../api/upload";

const GLB_TYPE = "model/gltf-binary";
const FILE_TIMEOUT_MS = 120_000;
/** Magic, version and length. */
const GLB_HEADER_BYTES = 12;
const GLB_MAGIC = 0x46546c67;

export interface RoomModel {
  id: string;
  site: string;
  room: string;
  bytes: number;
  /** Path of the file. */
  url: string;
}

export interface RoomPlace {
  site: string;
  room: string;
}

export class ModelApi {
  constructor(private readonly credentials?: Credentials) {}

  async ofRoom({ site, room }: RoomPlace, signal: AbortSignal): Promise<RoomModel | undefined> {
    const answer = await request("/api/models", this.credentials, { signal });
    const models = modelsOf(await jsonArray(answer));
    return models.find((model) => model.site === site && model.room === room);
  }

  /** What has the address of a model never changes, so the browser may have it already. */
  async file(model: RoomModel, signal: AbortSignal): Promise<ArrayBuffer> {
    const options = { signal, cache: "default", timeoutMs: FILE_TIMEOUT_MS } as const;
    return (await request(model.url, this.credentials, options)).arrayBuffer();
  }

  async put({ site, room }: RoomPlace, file: Blob, progress: Progress): Promise<void> {
    const parameters = new URLSearchParams({ enseigne: site, salle: room });
    await authorized(this.credentials, (token) =>
      sendFile({ path: `/api/models?${parameters}`, file, type: GLB_TYPE, token, progress }),
    );
  }

  async remove(model: RoomModel): Promise<void> {
    const path = `/api/models/${encodeURIComponent(model.id)}`;
    await request(path, this.credentials, { method: "DELETE" });
  }
}

/** What is not as it must be is left out. */
export function modelsOf(answer: readonly unknown[]): RoomModel[] {
  return answer.flatMap((model: unknown) => {
    const { id, enseigne: site, salle: room, bytes, url } = unchecked<"Model">(model) ?? {};
    const isModel =
      typeof id === "string" &&
      typeof site === "string" &&
      typeof room === "string" &&
      typeof bytes === "number" &&
      typeof url === "string" &&
      url.startsWith("/api/models/");
    return isModel ? { id, site, room, bytes, url } : [];
  });
}

/** Whether a file begins like a GLB of glTF 2 and is whole: what is not need not be sent. */
export async function looksLikeGlb(file: Blob): Promise<boolean> {
  if (file.size < GLB_HEADER_BYTES) return false;
  const header = new DataView(await file.slice(0, GLB_HEADER_BYTES).arrayBuffer());
  const [magic, version, length] = [0, 4, 8].map((offset) => header.getUint32(offset, true));
  return magic === GLB_MAGIC && version === 2 && length === file.size;
}
