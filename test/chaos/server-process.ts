import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process of a run: started, killed and frozen by what a fault says, and started again when it dies by itself. */
export interface ServerProcessOptions {
  readonly name: string;
  readonly command: () => { readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv };
  /** Standard output and error are appended to it. */
  readonly logFile: string;
  /** It ended, and nobody had asked it to; answers whether it is to be started again. */
  readonly died: (ended: Ended) => Promise<'RESTART' | 'LEAVE'>;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process that died by itself is started again after this long. */
const RESTART_AFTER_MS = 1_000;
/** One that was asked to stop and did not is killed after this long. */
const STOP_MS_MAX = 15_000;

export class ServerProcess {
  readonly name: string;
  private readonly options: ServerProcessOptions;
  private child: ChildProcess | null = null;
  private exited: Promise<Ended> = Promise.resolve({ code: 0, signal: null });
  private wanted = false;

  constructor(options: ServerProcessOptions) {
    this.name = options.name;
    this.options = options;
  }

  /** Null while no process runs. */
  get pid(): number | null {
    return this.child?.pid ?? null;
  }

  start(): void {
    if (this.child !== null) return;
    this.wanted = true;
    const { args, env } = this.options.command();
    const log = openSync(this.options.logFile, 'a');
    // The pipe on standard input ends with this process: no node outlives its run.
    const child = spawn(process.execPath, args, { stdio: ['pipe', log, log], env: { ...process.env, ...env } });
    closeSync(log);
    child.stdin?.on('error', () => undefined); // a process that dies while it is started
    this.child = child;
    this.exited = new Promise((resolve) => {
      const ended = (how: Ended): void => {
        if (this.child !== child) return;
        this.child = null;
        resolve(how);
        if (this.wanted) void this.mourn(how);
      };
      child.once('error', () => ended({ code: null, signal: null }));
      child.once('exit', (code, signal) => ended({ code, signal }));
    });
  }

  /** SIGKILL; answers when it is gone. It stays away until it is started. */
  async kill(): Promise<void> {
    this.wanted = false;
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  /** Waits until the process ends by itself; null if it still runs after `limitMs`. It is not started again until `goesOn` is called. */
  async endsWithin(limitMs: number): Promise<Ended | null> {
    this.wanted = false;
    const late = new AbortController();
    const timer = sleep(limitMs, null, { signal: late.signal }).catch(() => null);
    const ended = await Promise.race([this.exited, timer]);
    late.abort();
    return ended;
  }

  /** Its end is no longer waited for: it is started again when it dies, or has died. */
  goesOn(): void {
    this.wanted = true;
    this.start();
  }

  /** SIGTERM, as an operator stops it; SIGKILL if that takes too long. */
  async stop(): Promise<void> {
    this.wanted = false;
    if (this.child === null) return;
    this.child.kill('SIGCONT');
    this.child.kill('SIGTERM');
    const killer = setTimeout(() => this.child?.kill('SIGKILL'), STOP_MS_MAX);
    await this.exited;
    clearTimeout(killer);
  }

  /** The last resort of a process that is ending. */
  killNow(): void {
    this.wanted = false;
    this.child?.kill('SIGKILL');
  }

  private async mourn(how: Ended): Promise<void> {
    const next = await this.options.died(how);
    if (next === 'LEAVE') this.wanted = false;
    await sleep(RESTART_AFTER_MS);
    // A fault may have killed or started it meanwhile.
    if (this.wanted) this.start();
  }
}
