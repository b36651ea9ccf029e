/** What went wrong with a request, in words a person can read. */

import { isJsonObject } from "../domain/reading";

export type RequestFailure = "network" | "timeout" | "refused" | "unreadable";

/** What is wrong with one field of what was sent. */
export interface FieldFault {
  /** JSON pointer, such as `/password`. */
  pointer: string;
  detail: string;
}

export class RequestError extends Error {
  override readonly name = "RequestError";

  constructor(
    readonly failure: RequestFailure,
    message: string,
    readonly status?: number,
    readonly requestId?: string,
    readonly fields: readonly FieldFault[] = [],
  ) {
    super(message);
  }
}

/** Reads an `application/problem+json` body (RFC 9457); any other body is passed over. */
export async function requestErrorOf(response: Response): Promise<RequestError> {
  const problem: unknown = await response.json().catch(() => undefined);
  const fields = isJsonObject(problem) ? problem : {};
  const title = textOr(fields.title, response.statusText || `HTTP ${response.status}`);
  const detail = textOr(fields.detail, "");
  const requestId = textOr(fields.request_id, response.headers.get("x-request-id") ?? "");
  const message = detail === "" ? title : `${title}: ${detail}`;
  return new RequestError("refused", message, response.status, requestId, faultsOf(fields.errors));
}

function faultsOf(errors: unknown): FieldFault[] {
  if (!Array.isArray(errors)) return [];
  return errors.flatMap((error) => {
    if (!isJsonObject(error)) return [];
    const { pointer, detail } = error;
    return typeof pointer === "string" && typeof detail === "string" ? { pointer, detail } : [];
  });
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === "string" && value !== "" ? value : otherwise;
}
