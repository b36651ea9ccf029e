import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Claim } from "../api/access";
import { Adoption, type AdoptionState } from "./adoption";

const CLAIM: Claim = { id: "c1", redeemed: false, sensorId: null, lifetimeMs: 600_000 };

let claims: Claim[] | undefined;
let known: boolean;
let states: AdoptionState[];
let adoption: Adoption;

beforeEach(() => {
  vi.useFakeTimers();
  claims = [CLAIM];
  known = false;
  states = [];
  const api = {
    claims: async () => {
      if (claims === undefined) throw new Error("away");
      return claims;
    },
    sensorIsKnown: async () => known,
  };
  adoption = new Adoption(api, CLAIM, (state) => states.push(state));
  adoption.start();
});

afterEach(() => {
  adoption.stop();
  vi.useRealTimers();
});

test("a sensor is adopted once its first reading is here", async () => {
  await vi.advanceTimersByTimeAsync(2_000);
  expect(states.at(-1)?.stage).toBe("waiting");
  claims = [{ ...CLAIM, redeemed: true, sensorId: "esp-1" }];
  await vi.advanceTimersByTimeAsync(2_000);
  expect(states.at(-1)).toMatchObject({ stage: "redeemed", sensorId: "esp-1" });
  // A redeemed claim is forgotten by and by, the sensor is not.
  claims = [];
  known = true;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(states.at(-1)?.stage).toBe("adopted");
  expect(vi.getTimerCount()).toBe(0);
});

test("a code that is gone, or too old, has expired", async () => {
  claims = [];
  await vi.advanceTimersByTimeAsync(2_000);
  expect(states.at(-1)?.stage).toBe("expired");
  expect(vi.getTimerCount()).toBe(0);
});

test("a server that is away for a while changes nothing but what is told", async () => {
  await vi.advanceTimersByTimeAsync(0);
  claims = undefined;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(states.at(-1)).toMatchObject({ stage: "waiting", unanswered: true });
  claims = [CLAIM];
  await vi.advanceTimersByTimeAsync(2_000);
  expect(states.at(-1)).toMatchObject({ stage: "waiting", unanswered: false });
});
