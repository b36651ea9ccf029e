/** Follows a new sensor from its claim code to its first reading. */

import type { AccessClient, Claim } from "../api/access";
import { Polling } from "../live/polling";

export type AdoptionStage = "waiting" | "redeemed" | "adopted" | "expired";

export interface AdoptionState {
  stage: AdoptionStage;
  sensorId: string | null;
  /** The last question was not answered; the next one comes anyway. */
  unanswered: boolean;
}

const POLL_MS = 2_000;

export class Adoption {
  /** By this clock, which the server's may differ from. */
  readonly endsAtMs: number;
  private state: AdoptionState;
  private readonly polling = new Polling(() => this.ask(), POLL_MS);

  constructor(
    private readonly api: Pick<AccessClient, "claims" | "sensorIsKnown">,
    private readonly claim: Claim,
    private readonly tell: (state: AdoptionState) => void,
  ) {
    this.endsAtMs = Date.now() + claim.lifetimeMs;
    this.state = { stage: "waiting", sensorId: claim.sensorId, unanswered: false };
  }

  start(): void {
    this.polling.start();
  }

  stop(): void {
    this.polling.stop();
  }

  private async ask(): Promise<void> {
    try {
      if (this.state.stage === "waiting") await this.askForClaim();
      if (this.state.stage === "redeemed") await this.askForReading();
      this.become({ unanswered: false });
    } catch {
      this.become({ unanswered: true });
    }
  }

  private async askForClaim(): Promise<void> {
    const found = (await this.api.claims()).find(({ id }) => id === this.claim.id);
    if (found?.redeemed === true && found.sensorId !== null) {
      this.become({ stage: "redeemed", sensorId: found.sensorId });
    } else if (found === undefined || Date.now() >= this.endsAtMs) {
      this.finish("expired");
    }
  }

  private async askForReading(): Promise<void> {
    const { sensorId } = this.state;
    if (sensorId !== null && (await this.api.sensorIsKnown(sensorId))) this.finish("adopted");
  }

  private finish(stage: AdoptionStage): void {
    this.stop();
    this.become({ stage });
  }

  private become(change: Partial<AdoptionState>): void {
    this.state = { ...this.state, ...change };
    this.tell(this.state);
  }
}
