import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiClient } from "./client";
import { RequestError } from "./problem";

function answering(...answers: Response[]) {
  return vi.spyOn(globalThis, "fetch").mockImplementation(async () => {
    const answer = answers.shift();
    if (answer === undefined) throw new TypeError("unreachable");
    return answer;
  });
}

const json = (body: unknown, status = 200): Response => new Response(JSON.stringify(body), { status });
const headersOf = (call: unknown[] | undefined): unknown => (call?.[1] as RequestInit | undefined)?.headers;

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a call", () => {
  it("is made without a token where there is none", async () => {
    const fetched = answering(json([]));
    await new ApiClient().sensorPeriods();
    expect(headersOf(fetched.mock.calls[0])).toEqual({});
  });

  it("is made again, once, with another token when the one at hand counts no more", async () => {
    const fetched = answering(json({ code: "token_expired" }, 401), json([]));
    const renew = vi.fn(async () => "second");
    await new ApiClient({ bearer: "first", renew }).sensorPeriods();
    expect(fetched.mock.calls.map(headersOf)).toEqual([
      { Authorization: "Bearer first" },
      { Authorization: "Bearer second" },
    ]);
    expect(renew).toHaveBeenCalledOnce();
  });

  it("fails when the other token does not count either", async () => {
    answering(json({ code: "revoked" }, 401), json({ code: "revoked" }, 401));
    const renew = vi.fn(async () => "second");
    const failed = new ApiClient({ bearer: "first", renew }).call("GET", "/api/users");
    await expect(failed).rejects.toMatchObject({ status: 401 });
    expect(renew).toHaveBeenCalledOnce();
  });

  it("tells what is wrong with which field", async () => {
    const errors = [{ pointer: "/password", code: "bad_password", detail: "must be longer" }, 7];
    answering(json({ title: "Bad body", detail: "one field", errors }, 422));
    const failed: unknown = await new ApiClient().call("POST", "/api/users", {}).catch((cause) => cause);
    expect(failed).toBeInstanceOf(RequestError);
    expect((failed as RequestError).fields).toEqual([{ pointer: "/password", detail: "must be longer" }]);
  });

  it("has nothing to read when the answer is empty", async () => {
    answering(new Response(null, { status: 204 }));
    expect(await new ApiClient().call("DELETE", "/api/users/ada")).toBeUndefined();
  });
});
