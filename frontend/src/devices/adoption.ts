/** A sensor on its way in: from its code to its first reading. */

import type { Claim, DeviceApi, Place } from "./device-api";

export const LOOK_INTERVAL_MS = 2_000;

export type Adoption =
  | { step: "waiting"; code: string; claim: Claim }
  /** It has its key. */
  | { step: "redeemed"; claim: Claim }
  /** Its first reading is there. */
  | { step: "adopted"; claim: Claim }
  | { step: "expired"; claim: Claim };

export class Adopting {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private current: Adoption | undefined;

  constructor(
    private readonly api: Pick<DeviceApi, "claim" | "claims" | "drop" | "hasReadings">,
    private readonly changed: (adoption: Adoption | undefined) => void,
  ) {}

  async begin(place: Place): Promise<void> {
    this.tell({ step: "waiting", ...(await this.api.claim(place)) });
    this.lookLater();
  }

  /** Nobody waits for it any more; a code that was not used is taken back. */
  async cancel(): Promise<void> {
    clearTimeout(this.timer);
    const { current } = this;
    this.tell(undefined);
    if (current?.step === "waiting") await this.api.drop(current.claim.id);
  }

  private lookLater(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), LOOK_INTERVAL_MS);
  }

  private async look(): Promise<void> {
    const { current } = this;
    if (current === undefined) return;
    // A server that is away for a moment is asked again.
    const next = await this.next(current).catch(() => current);
    if (this.current !== current) return;
    if (next !== current) this.tell(next);
    if (next.step === "waiting" || next.step === "redeemed") this.lookLater();
  }

  private async next(current: Adoption): Promise<Adoption> {
    if (current.step === "waiting") {
      const claim = (await this.api.claims()).find(({ id }) => id === current.claim.id);
      if (claim?.isRedeemed === true) return { step: "redeemed", claim };
      return claim === undefined || Date.now() >= claim.expiresAtMs
        ? { step: "expired", claim: current.claim }
        : current;
    }
    const { sensorId } = current.claim;
    if (current.step === "redeemed" && sensorId !== undefined && (await this.api.hasReadings(sensorId))) {
      return { step: "adopted", claim: current.claim };
    }
    return current;
  }

  private tell(adoption: Adoption | undefined): void {
    this.current = adoption;
    this.changed(adoption);
  }
}
