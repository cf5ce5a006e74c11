import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs SPIN on one model: generate the verifier, compile it, run it, read what it says. */

/** Depth of the search stack, in steps; a run that needs more is an error, never a silent cut. */
const DEPTH_MAX = 2_000_000;
/** Memory of one verifier, MiB. */
const MEMORY_MIB_MAX = 4_000;
/** One search: processor time, so that a busy machine decides nothing. */
const SEARCH_CPU_SECONDS_MAX = 900;
/** Generating and compiling a verifier, s. */
const BUILD_SECONDS_MAX = 300;
/** Runs the verifier under that bound, and tells its processor time as the last line. */
const SEARCH_SCRIPT = `ulimit -t ${SEARCH_CPU_SECONDS_MAX}; ./pan "$@"; times`;
/** A verifier's report is some tens of lines; a counterexample some hundred. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export interface Search {
  /** Name of the file in this folder without its ending. */
  readonly model: string;
  /** Preprocessor switches: bounds, faults, and guards that are removed. */
  readonly defines: readonly string[];
  /** DEPTH visits all states in little memory; BREADTH finds a shortest counterexample. */
  readonly order: 'DEPTH' | 'BREADTH';
}

export interface Found {
  readonly states: number;
  /** Longest path of the search, in steps. */
  readonly depth: number;
  /** Processor time of the search. */
  readonly seconds: number;
  readonly memoryMib: number;
  readonly errors: number;
  /** The invariant that the counterexample breaks, as `I-6`; null without one. */
  readonly broken: string | null;
  /** Its steps, one line each. */
  readonly steps: readonly string[];
}

/** SPIN or the C compiler is missing, or a search did not end as it should. */
export class SpinFailed extends Error {}

/** Searches all states. Throws SpinFailed; a counterexample is an answer, not a failure. */
export async function search(folder: string, { model, defines, order }: Search): Promise<Found> {
  const work = mkdtempSync(join(tmpdir(), 'shardkeeper-model-'));
  try {
    const file = `${model}.pml`;
    copyFileSync(join(folder, file), join(work, file));
    const switches = [...defines, ...(order === 'BREADTH' ? ['BREADTH'] : [])].map((define) => `-D${define}`);
    await run(work, 'spin', ['-a', ...switches, file]);
    const how = order === 'BREADTH' ? ['-DBFS'] : ['-DCOLLAPSE'];
    await run(work, 'gcc', ['-O2', '-w', '-DSAFETY', `-DMEMLIM=${MEMORY_MIB_MAX}`, ...how, '-o', 'pan', 'pan.c']);
    // -E: a state without a step is an end, not an error: the bounds are used up.
    const report = await run(work, 'sh', ['-c', SEARCH_SCRIPT, 'pan', '-E', `-m${DEPTH_MAX}`, '-w22']);
    const errors = number(report, /errors: (\d+)/);
    const cut = /max search depth too small|out of memory|memory limit|aborting/i.exec(report);
    if (cut !== null || errors === null)
      throw new SpinFailed(`${model}: the search was cut short: ${report.slice(-2000)}`);
    const steps = errors === 0 ? [] : replayed(await run(work, 'spin', ['-t', '-T', ...switches, file]));
    const broken = steps.find((step) => step.startsWith('BROKEN '))?.slice('BROKEN '.length) ?? null;
    return {
      states: number(report, /(\d+(?:\.\d+e\+\d+)?) states, stored/) ?? 0,
      depth: number(report, /depth reached (\d+)/) ?? 0,
      seconds: cpuSeconds(report),
      memoryMib: Math.round(number(report, /([\d.]+)\s+total actual memory usage/) ?? 0),
      errors,
      broken: broken === null ? null : broken.replace(/^([IR])(\d+)$/, '$1-$2').replace('R-', 'R'),
      steps: steps.filter((step) => !step.startsWith('BROKEN ')),
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The lines that the model prints, in the order of the counterexample. */
const replayed = (text: string): readonly string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^(MSC: |BROKEN )/.test(line))
    .map((line) => line.replace(/^MSC: /, ''));

/** From what the shell's `times` printed last: user and system time of its children, as `0m1.230s 0m0.120s`. */
function cpuSeconds(report: string): number {
  const [, userMin, user, systemMin, system] = /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(report) ?? [];
  return Math.round((Number(userMin) + Number(systemMin)) * 6_000 + (Number(user) + Number(system)) * 100) / 100;
}

function number(text: string, pattern: RegExp): number | null {
  const match = pattern.exec(text);
  return match?.[1] === undefined ? null : Number(match[1]);
}

function run(cwd: string, command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    // The search has its own bound, and a shell that is killed would leave it running.
    const options = { cwd, timeout: command === 'sh' ? 0 : BUILD_SECONDS_MAX * 1000, maxBuffer: OUTPUT_BYTES_MAX };
    execFile(command, [...args], options, (error, stdout, stderr) => {
      if (error !== null && 'code' in error && error.code === 'ENOENT')
        reject(new SpinFailed(`${command} is not installed. On Debian: apt-get install spin gcc.`));
      else if (error?.killed === true) reject(new SpinFailed(`${command} ran longer than ${BUILD_SECONDS_MAX} s`));
      // The verifier and the replay leave with another status when there is a counterexample.
      else if (error !== null && command === 'gcc') reject(new SpinFailed(stderr));
      else if (/^spin: .*Error/m.test(stdout + stderr) && args.includes('-a')) reject(new SpinFailed(stdout + stderr));
      else resolve(stdout);
    });
  });
}
