/** Sends a file and tells how far it is, which `fetch` cannot. */

import { RequestError } from "./problem";

/** Called with the share that is sent, 0 to 1. */
export type Progress = (share: number) => void;

/** Longer than the server waits for a file. */
const UPLOAD_TIMEOUT_MS = 330_000;

export interface FileToSend {
  path: string;
  file: Blob;
  type: string;
  token: string | undefined;
  progress: Progress;
}

/** The answer, whatever its status. */
export function sendFile({ path, file, type, token, progress }: FileToSend): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.setRequestHeader("Content-Type", type);
    if (token !== undefined) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.timeout = UPLOAD_TIMEOUT_MS;
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      progress(total > 0 ? loaded / total : 0);
    });
    request.addEventListener("load", () => {
      const { status, statusText, responseText } = request;
      resolve(new Response(responseText, { status, statusText, headers: headersOf(request) }));
    });
    request.addEventListener("timeout", () =>
      reject(new RequestError("timeout", "the upload took too long")),
    );
    request.addEventListener("error", () => reject(new RequestError("network", "the upload broke off")));
    request.send(file);
  });
}

function headersOf(request: XMLHttpRequest): Headers {
  const headers = new Headers();
  for (const name of ["x-request-id", "retry-after"]) {
    const value = request.getResponseHeader(name);
    if (value !== null) headers.set(name, value);
  }
  return headers;
}
