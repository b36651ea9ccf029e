/** The real server as a child process, on a database of its own. */

import { type ChildProcess, spawn } from "node:child_process";
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

export type Settings = Readonly<Record<string, string>>;

export interface Account {
  name: string;
  password: string;
  role: "viewer" | "operator" | "admin";
}

export class Server {
  private process: ChildProcess | undefined;
  private listeningPort = 0;

  private constructor(
    private readonly directory: string,
    private readonly settings: Settings,
  ) {}

  /** `settings` are environment variables of the server's, such as `IAQ_AUTH`. */
  static async create(settings: Settings = {}, accounts: readonly Account[] = []): Promise<Server> {
    const server = new Server(await mkdtemp(path.join(tmpdir(), "iaqverse-e2e-")), settings);
    // Before the start, since a running server takes a moment to notice them.
    for (const account of accounts) await server.addAccount(account);
    await server.start();
    return server;
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
      env: { ...this.environment(), IAQ_BIND: `127.0.0.1:${port}` },
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

  private async addAccount({ name, password, role }: Account): Promise<void> {
    const child = spawn(binary(), ["user", "add", name, "--role", role], {
      cwd: this.directory,
      env: this.environment(),
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.stdin?.end(`${password}\n`);
    const code = await new Promise((resolve, reject) => child.once("exit", resolve).once("error", reject));
    if (code !== 0) throw new Error(`the account was not made: code ${code}`);
  }

  async post(reading: PostedReading, key?: string): Promise<void> {
    await this.send("/api/ingest", reading, key);
  }

  /** A call as a device makes it; returns what the server answered. */
  async send(path: string, body: unknown, key?: string): Promise<unknown> {
    const response = await fetch(this.origin + path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  private environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      DATABASE_URL: `sqlite://${path.join(this.directory, "iaq.db")}`,
      IAQ_PAGES_DIR: path.join(FRONTEND_DIR, "dist"),
      ...this.settings,
    };
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
