/** The real server as a child process, on a database of its own. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

const FRONTEND_DIR = path.resolve(import.meta.dirname, "..");
const BINARIES = ["../target/release/iaqverse", "../target/debug/iaqverse"];
const START_TIMEOUT_MS = 30_000;
const LISTENING = /listening on http:\/\/127\.0\.0\.1:(\d+)/;

export interface PostedReading {
  sensor_id: string;
  enseigne: string;
  salle: string;
  timestamp?: string;
  values: Record<string, number>;
}

export class Server {
  private process: ChildProcess | undefined;
  private listeningPort = 0;

  private constructor(
    private readonly directory: string,
    private readonly settings: Readonly<Record<string, string>>,
  ) {}

  static async create(settings: Readonly<Record<string, string>> = {}): Promise<Server> {
    const server = new Server(await mkdtemp(path.join(tmpdir(), "iaqverse-e2e-")), settings);
    await server.start();
    return server;
  }

  /** Runs a command of the server's on its database, and returns what it prints. */
  run(args: readonly string[], input = ""): string {
    return execFileSync(binary(), args, {
      env: this.environment,
      input,
      encoding: "utf8",
      // What it says besides is of interest only when it fails, and then in the error.
      stdio: ["pipe", "pipe", "pipe"],
    }).trim();
  }

  private get environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      DATABASE_URL: `sqlite://${path.join(this.directory, "iaq.db")}`,
      IAQ_PAGES_DIR: path.join(FRONTEND_DIR, "dist"),
      // All pages of a test come from one address.
      IAQ_RATE_INGEST: "0",
      IAQ_RATE_API: "0",
      ...this.settings,
    };
  }

  get port(): number {
    return this.listeningPort;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.listeningPort}`;
  }

  /** Port 0 lets the system choose. */
  async start(port = 0): Promise<void> {
    const child = spawn(binary(), [], {
      cwd: this.directory,
      env: { ...this.environment, IAQ_BIND: `127.0.0.1:${port}` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.process = child;
    this.listeningPort = await listeningPort(child);
  }

  /** Ends it as a power cut would: nothing is said goodbye to. */
  async kill(): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async post(reading: PostedReading, key?: string): Promise<void> {
    const response = await fetch(`${this.origin}/api/ingest`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(key === undefined ? {} : { "x-api-key": key }) },
      body: JSON.stringify(reading),
    });
    if (!response.ok) throw new Error(`ingest answered ${response.status}: ${await response.text()}`);
  }

  async destroy(): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function binary(): string {
  const named = process.env.IAQ_BIN;
  if (named !== undefined) return path.resolve(named);
  const built = BINARIES.map((file) => path.resolve(FRONTEND_DIR, file)).find((file) => existsSync(file));
  if (built === undefined) throw new Error("no server binary: build it, or name one in IAQ_BIN");
  return built;
}

function listeningPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = "";
    const timer = setTimeout(
      () => reject(new Error(`the server did not start:\n${output}`)),
      START_TIMEOUT_MS,
    );
    const settle = (): void => clearTimeout(timer);
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const port = LISTENING.exec(output)?.[1];
      if (port === undefined) return;
      settle();
      resolve(Number(port));
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.once("error", (cause) => {
      settle();
      reject(cause);
    });
    child.once("exit", (code) => {
      settle();
      reject(new Error(`the server ended with code ${code}:\n${output}`));
    });
  });
}
