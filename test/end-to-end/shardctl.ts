import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { World } from './world.ts';

const SHARDCTL = fileURLToPath(new URL('../../cli/bin/shardctl.mjs', import.meta.url));
const RUN_MS_MAX = 120_000;

export interface ShardctlRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** shardctl as a process of its own, as a person runs it. */
export function shardctl({ deployment }: World, ...args: readonly string[]): Promise<ShardctlRun> {
  const env = { ...process.env, SHARDKEEPER_URL: deployment.url, SHARDKEEPER_TOKEN: deployment.adminToken };
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [SHARDCTL, ...args], { env, timeout: RUN_MS_MAX }, (_, stdout, stderr) => {
      if (child.exitCode === null) reject(new Error(`shardctl ${args.join(' ')} did not end: ${stderr}`));
      else resolve({ exitCode: child.exitCode, stdout, stderr });
    });
  });
}
