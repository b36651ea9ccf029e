/** Asks for the readings again and again while nothing is pushed; a page nobody looks at does not ask. */

export class Polling {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;

  /** `poll` never rejects. */
  constructor(
    private readonly poll: () => Promise<void>,
    private readonly intervalMs: number,
  ) {}

  get isRunning(): boolean {
    return this.running;
  }

  /** Asks at once, also when it runs already. */
  start(): void {
    this.running = true;
    void this.ask();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.timer);
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    if (!document.hidden) await this.poll();
    clearTimeout(this.timer);
    if (this.running) this.timer = setTimeout(() => void this.ask(), this.intervalMs);
  }
}
