/**
 * Feeds the live data: pushed over the WebSocket, polled over HTTP while the socket is down, and filled
 * in from history where either left a hole.
 */

import type { ApiClient } from "../api/client";
import { RequestError } from "../api/problem";
import { readingFromRecord, readingsFromRecords } from "../domain/reading";
import { CLOSE_POLICY } from "../live/close-codes";
import {
  type ConnectionState,
  connectionStateOf,
  type PollOutcome,
  type SocketPhase,
} from "../live/connection-state";
import type { LiveData } from "../live/live-data";
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
  private socket: SocketPhase = "off";
  private poll: PollOutcome = "none";
  private denial: string | undefined;
  private loaded = false;
  private attempt = 0;
  private nextAttemptAtMs: number | undefined;
  private pollTimer: ReturnType<typeof setTimeout> | undefined;
  private polling = false;
  private detailsTimer: ReturnType<typeof setTimeout> | undefined;
  private shownRoom: RoomKey | undefined;
  /** Up to here the shown room's history is whole, as far as the socket brought it. */
  private wholeUntilMs: number | undefined;
  /** Up to here the shown room's history was read by polling. */
  private polledUntilMs: number | undefined;

  constructor(parts: ReadingFeedParts) {
    this.parts = parts;
  }

  start(): void {
    const { manager, useWebSocket } = this.parts;
    if (!useWebSocket) {
      console.info(`[live] WebSocket switched off, polling every ${REFRESH_MS} ms`);
      this.startPolling();
      return;
    }
    manager.on("connected", this.handleConnected);
    manager.on("disconnected", this.handleDown);
    manager.on("error", this.handleDown);
    manager.on("reconnecting", this.handleReconnecting);
    manager.on("measurements", this.handleMeasurement);
    manager.on("snapshot", this.handleSnapshot);
    manager.on("all", this.handleAny);
    this.socket = "connecting";
    this.publishState();
    manager.subscribe(["measurements"]);
    manager.connect();
    void this.refresh();
  }

  stop(): void {
    const { manager } = this.parts;
    manager.off("connected", this.handleConnected);
    manager.off("disconnected", this.handleDown);
    manager.off("error", this.handleDown);
    manager.off("reconnecting", this.handleReconnecting);
    manager.off("measurements", this.handleMeasurement);
    manager.off("snapshot", this.handleSnapshot);
    manager.off("all", this.handleAny);
    this.stopPolling();
    clearTimeout(this.detailsTimer);
  }

  retryNow(): void {
    if (this.parts.useWebSocket) this.parts.manager.connect();
    if (this.polling) this.startPolling();
  }

  /** Loads the room's history and keeps it whole from now on. Rejects when it cannot be had. */
  async showRoom(site: string, room: string, signal?: AbortSignal): Promise<void> {
    this.shownRoom = roomKey(site, room);
    this.wholeUntilMs = undefined;
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
      socket: this.socket,
      poll: this.poll,
      denial: this.denial,
      hasData: data.hasData,
      loaded: this.loaded,
      attempt: this.attempt,
      nextAttemptAtMs: this.nextAttemptAtMs,
      newestReadingMs: data.newestMs,
    });
  }

  private readonly handleConnected = ({ reconnected }: { reconnected: boolean }): void => {
    this.socket = "open";
    this.attempt = 0;
    this.nextAttemptAtMs = undefined;
    this.stopPolling();
    this.publishState();
    if (reconnected || !this.loaded) void this.refresh();
    void this.fillGap();
  };

  private readonly handleDown = (event: { code: number }): void => {
    const { manager } = this.parts;
    this.socket = event.code === CLOSE_POLICY ? "refused" : "waiting";
    if (!manager.shouldReconnect) this.nextAttemptAtMs = undefined;
    if (!this.polling) this.startPolling();
    this.publishState();
  };

  private readonly handleReconnecting = (event: { attempt: number; nextAttemptAtMs: number }): void => {
    this.socket = "waiting";
    this.attempt = event.attempt;
    this.nextAttemptAtMs = event.nextAttemptAtMs;
    this.publishState();
  };

  private readonly handleMeasurement = (message: unknown): void => {
    const reading = readingFromRecord(message);
    if (reading === undefined) return;
    const { data } = this.parts;
    const wasEmpty = !data.hasData;
    data.apply(reading);
    if (!reading.late && roomKey(reading.site, reading.room) === this.shownRoom && this.socket === "open") {
      this.wholeUntilMs = Math.max(this.wholeUntilMs ?? 0, reading.atMs);
    }
    if (reading.dominant === undefined && !reading.late) this.refreshDetailsSoon();
    if (wasEmpty) this.publishState();
  };

  private readonly handleSnapshot = (message: { topic?: string; data: unknown[] }): void => {
    if (message.topic !== "measurements") return;
    for (const reading of readingsFromRecords(message.data)) this.parts.data.apply(reading);
    this.loaded = true;
    this.publishState();
  };

  private readonly handleAny = (message: { type: string; timestamp?: string }): void => {
    if (message.type === "connection" && message.timestamp !== undefined) {
      this.parts.data.alignClock(message.timestamp);
    }
  };

  private startPolling(): void {
    if (!this.polling && this.parts.useWebSocket) {
      console.info(`[live] WebSocket down, polling every ${REFRESH_MS} ms until it is back`);
    }
    this.polling = true;
    clearTimeout(this.pollTimer);
    void this.pollOnce();
  }

  private stopPolling(): void {
    this.polling = false;
    this.poll = "none";
    clearTimeout(this.pollTimer);
  }

  private async pollOnce(): Promise<void> {
    const changed = !document.hidden && (await this.refresh());
    if (!this.polling) return;
    clearTimeout(this.pollTimer);
    this.pollTimer = setTimeout(() => void this.pollOnce(), REFRESH_MS);
    // A sensor may have reported more than once since the last poll: history has all of it.
    if (changed) {
      const fromMs = this.polledUntilMs ?? this.wholeUntilMs ?? this.windowStartMs();
      this.polledUntilMs = await this.fillHistory(fromMs);
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
      if (this.polling) this.poll = "reached";
      if (!this.loaded) {
        this.loaded = true;
        void this.learnPeriods();
      }
    } catch (cause) {
      if (this.polling) this.notePollFailure(cause);
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

  private async fillGap(): Promise<void> {
    if (this.shownRoom === undefined) return;
    const untilMs = await this.fillHistory((this.wholeUntilMs ?? 0) - GAP_MARGIN_MS);
    if (untilMs !== undefined) this.wholeUntilMs = Math.max(untilMs, this.wholeUntilMs ?? 0);
  }

  /** Reads the shown room's history from then on; returns the time of its newest reading. */
  private async fillHistory(fromMs: number): Promise<number | undefined> {
    const state = this.shownRoom === undefined ? undefined : this.parts.data.room(this.shownRoom);
    if (state === undefined) return undefined;
    try {
      return await this.loadHistory(state.site, state.room, Math.max(fromMs, this.windowStartMs()));
    } catch (cause) {
      // The next reconnection or poll reads the same stretch again.
      console.warn("[live] the gap in the history could not be filled", cause);
      return undefined;
    }
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
