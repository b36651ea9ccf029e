/** What went wrong with a request, in words a person can read. */

import { isJsonObject } from "../domain/reading";

export type RequestFailure = "network" | "timeout" | "refused" | "unreadable";

/** A member of the request's body that the server would not take. */
export interface FieldError {
  /** A JSON pointer such as `/password`. */
  pointer: string;
  code: string;
  detail: string;
}

export interface ProblemFacts {
  status?: number;
  requestId?: string;
  code?: string;
  fields?: readonly FieldError[];
  retryAfterSeconds?: number | undefined;
}

export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  readonly code: string | undefined;
  readonly fields: readonly FieldError[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly failure: RequestFailure,
    message: string,
    facts: ProblemFacts = {},
  ) {
    super(message);
    this.status = facts.status;
    this.requestId = facts.requestId;
    this.code = facts.code;
    this.fields = facts.fields ?? [];
    this.retryAfterSeconds = facts.retryAfterSeconds;
  }
}

/** Reads an `application/problem+json` body (RFC 9457); any other body is passed over. */
export async function requestErrorOf(response: Response): Promise<RequestError> {
  const problem: unknown = await response.json().catch(() => undefined);
  const fields = isJsonObject(problem) ? problem : {};
  const title = textOr(fields.title, response.statusText || `HTTP ${response.status}`);
  const detail = textOr(fields.detail, "");
  const message = detail === "" ? title : `${title}: ${detail}`;
  return new RequestError("refused", message, {
    status: response.status,
    requestId: textOr(fields.request_id, response.headers.get("x-request-id") ?? ""),
    code: textOr(fields.code, ""),
    fields: fieldErrorsOf(fields.errors),
    retryAfterSeconds: secondsOf(response.headers.get("retry-after")),
  });
}

function fieldErrorsOf(errors: unknown): FieldError[] {
  if (!Array.isArray(errors)) return [];
  return errors.flatMap((error: unknown) =>
    isJsonObject(error) && typeof error.pointer === "string"
      ? { pointer: error.pointer, code: textOr(error.code, ""), detail: textOr(error.detail, "") }
      : [],
  );
}

function secondsOf(header: string | null): number | undefined {
  const seconds = Number(header ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : undefined;
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === "string" && value !== "" ? value : otherwise;
}
