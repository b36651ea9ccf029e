import { afterEach, expect, test, vi } from "vitest";
import type { Credentials } from "../access/credentials";
import { type FakeServer, fakeServer, UNAUTHORIZED } from "../access/fake-server";
import { AccessClient } from "./access";
import { ApiClient } from "./client";
import { RequestError } from "./problem";

const LATEST = "GET /api/latest";

function credentials(next: string | undefined): Credentials & { refused: (string | undefined)[] } {
  const refused: (string | undefined)[] = [];
  return {
    token: "old",
    renewable: true,
    refused,
    tokenAfter: async (token) => {
      refused.push(token);
      return next;
    },
  };
}

function answering(token: string): FakeServer {
  return fakeServer({
    [LATEST]: (sent) => (sent === `Bearer ${token}` ? { status: 200, body: [] } : UNAUTHORIZED),
  });
}

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a refused token is renewed once and the request repeated with the next one", async () => {
  const server = answering("new");
  const held = credentials("new");
  expect(await new ApiClient(held).latest()).toEqual([]);
  expect(server.tokens).toEqual(["Bearer old", "Bearer new"]);
  expect(held.refused).toEqual(["old"]);
});

test("a request is repeated no more than once", async () => {
  const server = answering("another");
  await expect(new ApiClient(credentials("new")).latest()).rejects.toMatchObject({ status: 401 });
  expect(server.calls).toHaveLength(2);
});

test("without another token the refusal is told", async () => {
  const server = answering("new");
  await expect(new ApiClient(credentials(undefined)).latest()).rejects.toThrow(RequestError);
  expect(server.calls).toHaveLength(1);
});

test("without a session no token is sent", async () => {
  const server = fakeServer({ [LATEST]: { status: 200, body: [] } });
  await new ApiClient().latest();
  expect(server.tokens).toEqual([null]);
});

test("a wrong password is no reason for another token, and the wait is told", async () => {
  const server = fakeServer({
    "POST /api/auth/login": {
      status: 429,
      body: { title: "Too many requests", code: "rate_limited" },
      headers: { "Retry-After": "17" },
    },
  });
  const login = new AccessClient().login("ada", "secret");
  await expect(login).rejects.toMatchObject({ code: "rate_limited", retryAfterSeconds: 17 });
  expect(server.calls).toHaveLength(1);
});

test("the server's objections are told by field", async () => {
  fakeServer({
    "POST /api/users": {
      status: 422,
      body: { code: "bad_body", errors: [{ pointer: "/name", code: "bad_name", detail: "must be" }, 7] },
    },
  });
  const added = new AccessClient().addUser({ name: "", password: "", role: "viewer", sites: null });
  await expect(added).rejects.toMatchObject({
    fields: [{ pointer: "/name", code: "bad_name", detail: "must be" }],
  });
});
