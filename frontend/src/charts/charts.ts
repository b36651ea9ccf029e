/**
 * Feeds the live data: pushed as long as the live connection stands, polled over HTTP while it does not,
 * and filled in from history where either left a hole.
 */

import type { ApiClient } from "../api/client";
import { RequestError } from "../api/problem";
import { readingFromRecord, readingsFromRecords } from "../domain/reading";
import type { ErrorEvent, ReconnectingEvent, Rung, RungEvent } from "../live/connection-events";
import {
  type ConnectionState,
  connectionStateOf,
  isPushed,
  type PollOutcome,
  type RetryState,
} from "../live/connection-state";
import type { LiveData } from "../live/live-data";
import { Polling } from "../live/polling";
import type { MeasurementMessage, ServerMessage, SnapshotMessage } from "../live/protocol";
import { type RoomKey, roomKey } from "../live/room-state";
import type { WebSocketManager } from "../live/websocket-manager";

/** False turns the push off for good: the pages then only poll. `?websocket=off` does so for one visit. */
export const USE_WEBSOCKET: boolean = true;

export const REFRESH_MS = 3_000;

/** How far back a room's charts reach. */
export const HISTORY_WINDOW_MS = 60 * 60 * 1000;

/** Readings that arrived late are stamped earlier than the last one seen, so a gap is read with a margin. */
const GAP_MARGIN_MS = 5 * 60 * 1000;

/** Pushed readings do not always name the dominant pollutant; it is looked up no more often than this. */
const DETAILS_REFRESH_MS = 10_000;

/** A hole is filled no more often than this: whoever is too slow for the messages is not helped by more. */
const MEND_DELAY_MS = 5_000;

export function websocketWanted(pageQuery: string): boolean {
  return USE_WEBSOCKET && new URLSearchParams(pageQuery).get("websocket") !== "off";
}

export interface ReadingFeedParts {
  manager: WebSocketManager;
  data: LiveData;
  api: ApiClient;
  useWebSocket: boolean;
}

export class ReadingFeed {
  private readonly parts: ReadingFeedParts;
  private readonly stateListeners = new Set<(state: ConnectionState) => void>();
  private readonly polling = new Polling(() => this.pollOnce(), REFRESH_MS);
  private rung: Rung | undefined;
  private retry: RetryState = "none";
  private poll: PollOutcome = "none";
  private denial: string | undefined;
  private loaded = false;
  private attempt = 0;
  private nextAttemptAtMs: number | undefined;
  private detailsTimer: ReturnType<typeof setTimeout> | undefined;
  private mendTimer: ReturnType<typeof setTimeout> | undefined;
  private shownRoom: RoomKey | undefined;
  /** Up to here the shown room's history is whole, as far as it was pushed. */
  private wholeUntilMs: number | undefined;
  /** From here on readings of the shown room may be missing. */
  private holeFromMs: number | undefined;
  /** Up to here the shown room's history was read by polling. */
  private polledUntilMs: number | undefined;

  constructor(parts: ReadingFeedParts) {
    this.parts = parts;
  }

  start(): void {
    const { manager, useWebSocket } = this.parts;
    if (!useWebSocket) {
      console.info(`[live] WebSocket switched off, polling every ${REFRESH_MS} ms`);
      this.polling.start();
      return;
    }
    manager.on("rung", this.handleRung);
    manager.on("connected", this.handleConnected);
    manager.on("error", this.handleError);
    manager.on("reconnecting", this.handleReconnecting);
    manager.on("measurements", this.handleMeasurement);
    manager.on("snapshot", this.handleSnapshot);
    manager.on("all", this.handleAny);
    this.publishState();
    manager.subscribe(["measurements"]);
    manager.connect();
    void this.refresh();
  }

  stop(): void {
    const { manager } = this.parts;
    manager.off("rung", this.handleRung);
    manager.off("connected", this.handleConnected);
    manager.off("error", this.handleError);
    manager.off("reconnecting", this.handleReconnecting);
    manager.off("measurements", this.handleMeasurement);
    manager.off("snapshot", this.handleSnapshot);
    manager.off("all", this.handleAny);
    this.polling.stop();
    clearTimeout(this.detailsTimer);
    clearTimeout(this.mendTimer);
  }

  retryNow(): void {
    if (this.parts.useWebSocket) this.parts.manager.connect();
    if (this.polling.isRunning) this.polling.start();
  }

  /** Loads the room's history and keeps it whole from now on. Rejects when it cannot be had. */
  async showRoom(site: string, room: string, signal?: AbortSignal): Promise<void> {
    this.shownRoom = roomKey(site, room);
    this.wholeUntilMs = undefined;
    this.holeFromMs = undefined;
    this.polledUntilMs = undefined;
    this.wholeUntilMs = await this.loadHistory(site, room, this.windowStartMs(), signal);
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  }

  state(): ConnectionState {
    const { data } = this.parts;
    return connectionStateOf({
      rung: this.rung,
      retry: this.retry,
      poll: this.poll,
      denial: this.denial,
      hasData: data.hasData,
      loaded: this.loaded,
      attempt: this.attempt,
      nextAttemptAtMs: this.nextAttemptAtMs,
      newestReadingMs: data.newestMs,
    });
  }

  private readonly handleRung = ({ rung }: RungEvent): void => {
    const { manager } = this.parts;
    this.rung = rung;
    if (isPushed(rung)) {
      this.polling.stop();
      this.poll = "none";
    } else {
      this.noteHole();
      if (!this.polling.isRunning) {
        console.info(`[live] nothing is pushed, polling every ${REFRESH_MS} ms until it is again`);
        this.polling.start();
      }
    }
    this.retry = rung === "websocket" ? "none" : "waiting";
    if (rung === "websocket" || !manager.shouldReconnect) this.nextAttemptAtMs = undefined;
    if (rung === "websocket") this.attempt = 0;
    this.publishState();
  };

  private readonly handleConnected = ({ reconnected }: { reconnected: boolean }): void => {
    if (reconnected || !this.loaded) void this.refresh();
    this.noteHole();
    void this.mend();
  };

  private readonly handleError = ({ failure }: ErrorEvent): void => {
    if (failure === "refused") this.retry = "refused";
    if (failure === "refused" || failure === "gave_up") this.nextAttemptAtMs = undefined;
    this.publishState();
  };

  private readonly handleReconnecting = (event: ReconnectingEvent): void => {
    this.retry = "waiting";
    this.attempt = event.attempt;
    this.nextAttemptAtMs = event.nextAttemptAtMs;
    this.publishState();
  };

  private readonly handleMeasurement = (message: MeasurementMessage): void => {
    const reading = readingFromRecord(message);
    if (reading === undefined) return;
    const { data } = this.parts;
    const wasEmpty = !data.hasData;
    data.apply(reading);
    if (!reading.late && roomKey(reading.site, reading.room) === this.shownRoom && isPushed(this.rung)) {
      this.wholeUntilMs = Math.max(this.wholeUntilMs ?? 0, reading.atMs);
    }
    if (reading.dominant === undefined && !reading.late) this.refreshDetailsSoon();
    if (wasEmpty) this.publishState();
  };

  private readonly handleSnapshot = (message: SnapshotMessage): void => {
    if (message.topic !== "measurements") return;
    for (const reading of readingsFromRecords(message.data)) this.parts.data.apply(reading);
    this.loaded = true;
    this.publishState();
  };

  private readonly handleAny = (message: ServerMessage): void => {
    if (message.type === "connection" && message.timestamp !== undefined) {
      this.parts.data.alignClock(message.timestamp);
    }
    if (message.type === "conflated") {
      this.noteHole();
      this.mendSoon();
    }
  };

  private async pollOnce(): Promise<void> {
    const changed = await this.refresh();
    // A sensor may have reported more than once since the last poll: history has all of it.
    if (changed && this.polling.isRunning) void this.readPolledHistory();
  }

  private async readPolledHistory(): Promise<void> {
    const fromMs = this.polledUntilMs ?? this.holeFromMs ?? this.wholeUntilMs ?? this.windowStartMs();
    try {
      this.polledUntilMs = await this.readShownRoom(fromMs);
    } catch (cause) {
      // The next poll reads the same stretch again.
      console.warn("[live] the readings between two polls could not be read", cause);
    }
  }

  /** Returns whether there was anything new. */
  private async refresh(): Promise<boolean> {
    const { api, data } = this.parts;
    let changed = false;
    try {
      const readings = await api.latest();
      changed = readings !== undefined;
      for (const reading of readings ?? []) data.apply(reading);
      if (this.polling.isRunning) this.poll = "reached";
      if (!this.loaded) {
        this.loaded = true;
        void this.learnPeriods();
      }
    } catch (cause) {
      if (this.polling.isRunning) this.notePollFailure(cause);
      else console.warn("[live] the latest readings could not be read", cause);
    }
    this.publishState();
    return changed;
  }

  private notePollFailure(cause: unknown): void {
    const denied = cause instanceof RequestError && cause.failure === "refused";
    this.poll = denied ? "denied" : "failed";
    this.denial = denied ? cause.message : undefined;
  }

  /** Sensors with a long period must not look stale before their second reading has come. */
  private async learnPeriods(): Promise<void> {
    const { api, data } = this.parts;
    try {
      for (const { sensorId, periodMs } of await api.sensorPeriods()) data.expectPeriod(sensorId, periodMs);
    } catch (cause) {
      // They are learnt from the readings as well, only later.
      console.warn("[live] the sensors' periods could not be read", cause);
    }
  }

  private refreshDetailsSoon(): void {
    this.detailsTimer ??= setTimeout(() => {
      this.detailsTimer = undefined;
      if (!document.hidden) void this.refresh();
    }, DETAILS_REFRESH_MS);
  }

  /** What comes next does not follow on what is there. */
  private noteHole(): void {
    if (this.shownRoom === undefined) return;
    this.holeFromMs = Math.min(this.holeFromMs ?? Number.POSITIVE_INFINITY, this.wholeUntilMs ?? 0);
  }

  private mendSoon(): void {
    this.mendTimer ??= setTimeout(() => void this.mend(), MEND_DELAY_MS);
  }

  private async mend(): Promise<void> {
    clearTimeout(this.mendTimer);
    this.mendTimer = undefined;
    const { holeFromMs, shownRoom } = this;
    if (holeFromMs === undefined) return;
    this.holeFromMs = undefined;
    try {
      const untilMs = await this.readShownRoom(holeFromMs - GAP_MARGIN_MS);
      if (this.shownRoom === shownRoom && untilMs !== undefined) {
        this.wholeUntilMs = Math.max(untilMs, this.wholeUntilMs ?? 0);
      }
    } catch (cause) {
      console.warn("[live] the gap in the history could not be filled", cause);
      if (this.shownRoom !== shownRoom) return;
      this.holeFromMs = Math.min(holeFromMs, this.holeFromMs ?? Number.POSITIVE_INFINITY);
      // While polling, coming back to the push is what fills it.
      if (isPushed(this.rung)) this.mendSoon();
    }
  }

  /** Reads the shown room's history from then on; returns the time of its newest reading. */
  private async readShownRoom(fromMs: number): Promise<number | undefined> {
    const state = this.shownRoom === undefined ? undefined : this.parts.data.room(this.shownRoom);
    if (state === undefined) return undefined;
    return this.loadHistory(state.site, state.room, Math.max(fromMs, this.windowStartMs()));
  }

  private async loadHistory(
    site: string,
    room: string,
    startMs: number,
    signal?: AbortSignal,
  ): Promise<number | undefined> {
    const readings = await this.parts.api.history({ site, room, startMs }, signal);
    this.parts.data.applyHistory(readings);
    return readings.at(-1)?.atMs;
  }

  private windowStartMs(): number {
    return this.parts.data.nowMs() - HISTORY_WINDOW_MS;
  }

  private publishState(): void {
    const state = this.state();
    for (const listener of this.stateListeners) listener(state);
  }
}
