import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Adopting, type Adoption, LOOK_INTERVAL_MS } from "./adoption";
import type { Claim } from "./device-api";

const PLACE = { site: "Maison", room: "Bureau" };

function stage() {
  const waiting: Claim = { id: "c", isRedeemed: false, ...PLACE, sensorId: undefined, expiresAtMs: 600_000 };
  const state = { claims: [waiting], hasReadings: false };
  const api = {
    claim: async () => ({ claim: waiting, code: "K7QM-3F9P" }),
    claims: vi.fn(async () => state.claims),
    drop: vi.fn(async () => {}),
    hasReadings: async () => state.hasReadings,
  };
  const steps: (Adoption["step"] | undefined)[] = [];
  const adopting = new Adopting(api, (adoption) => steps.push(adoption?.step));
  const redeem = (): void => {
    state.claims = [{ ...waiting, isRedeemed: true, sensorId: "esp-1" }];
  };
  return { api, state, steps, adopting, redeem };
}

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

const look = (): Promise<unknown> => vi.advanceTimersByTimeAsync(LOOK_INTERVAL_MS);

describe("a sensor that is adopted", () => {
  it("goes from its code to its key to its first reading", async () => {
    const { state, steps, adopting, redeem } = stage();
    await adopting.begin(PLACE);
    await look();
    expect(steps).toEqual(["waiting"]);
    redeem();
    await look();
    expect(steps).toEqual(["waiting", "redeemed"]);
    state.hasReadings = true;
    await look();
    expect(steps).toEqual(["waiting", "redeemed", "adopted"]);
  });

  it("is waited for through an outage", async () => {
    const { api, steps, adopting, redeem } = stage();
    await adopting.begin(PLACE);
    api.claims.mockRejectedValueOnce(new Error("away"));
    await look();
    redeem();
    await look();
    expect(steps).toEqual(["waiting", "redeemed"]);
  });

  it("is not waited for when its time is over", async () => {
    const { state, steps, adopting } = stage();
    await adopting.begin(PLACE);
    state.claims = [];
    await look();
    expect(steps).toEqual(["waiting", "expired"]);
  });

  it("gives its code back when nobody waits any more", async () => {
    const { api, steps, adopting } = stage();
    await adopting.begin(PLACE);
    await adopting.cancel();
    await look();
    expect(api.drop).toHaveBeenCalledExactlyOnceWith("c");
    expect(api.claims).not.toHaveBeenCalled();
    expect(steps).toEqual(["waiting", undefined]);
  });
});
