import type { SimulationResult } from './options.ts';

/** What many runs came to, under the names that `npm run sim -- --json` prints. */
export interface Summary {
  readonly pass: boolean;
  readonly seeds: number;
  /** Broken invariants, missed liveness bounds and histories that are not linearizable, over all seeds. */
  readonly violations: number;
  readonly failed_seeds: readonly number[];
  /** Set-up, faults and recovery of every run, replays included. */
  readonly virtual_seconds: number;
  /** Of one process with one thread, from its start. */
  readonly real_seconds: number;
  /** Processor time of that process: below `real_seconds` where others used the machine. */
  readonly cpu_seconds: number;
  /** virtual_seconds / real_seconds. */
  readonly speedup: number;
  /** virtual_seconds / cpu_seconds. */
  readonly speedup_cpu: number;
  readonly faults_injected: number;
  readonly client_operations: number;
  readonly faults_per_virtual_minute: number;
  readonly client_operations_per_virtual_minute: number;
  /** Seeds that ran twice. */
  readonly replayed_seeds: number;
  /** True if both runs of each of them gave the same trace; null if none ran twice. */
  readonly trace_hashes_equal: boolean | null;
  readonly totals: Readonly<Record<string, number>>;
}

export interface Replay {
  readonly seed: number;
  readonly equal: boolean;
  readonly virtualMs: number;
}

const CLIENT_COUNTS = ['acknowledged', 'unknown', 'refused', 'reads', 'readsFailed'];
const MS_PER_MINUTE = 60_000;

export function summaryOf(
  results: readonly SimulationResult[],
  replays: readonly Replay[],
  took: { readonly realMs: number; readonly cpuMs: number },
): Summary {
  const totals = totalsOf(results);
  const faults = sumOf(totals, (name) => name.startsWith('fault: '));
  const operations = sumOf(totals, (name) => CLIENT_COUNTS.includes(name));
  const resultsMs = results.reduce((sum, { virtualMs }) => sum + virtualMs, 0);
  const virtualMs = replays.reduce((sum, replay) => sum + replay.virtualMs, resultsMs);
  const failed = results.filter(({ pass }) => !pass).map(({ seed }) => seed);
  const equal = replays.every((replay) => replay.equal);
  return {
    pass: failed.length === 0 && equal,
    seeds: results.length,
    violations: results.reduce((sum, { problems }) => sum + problems.length, 0),
    failed_seeds: failed,
    virtual_seconds: Math.round(virtualMs / 1000),
    real_seconds: rounded(took.realMs / 1000),
    cpu_seconds: rounded(took.cpuMs / 1000),
    speedup: Math.round(virtualMs / took.realMs),
    speedup_cpu: Math.round(virtualMs / took.cpuMs),
    faults_injected: faults,
    client_operations: operations,
    faults_per_virtual_minute: rounded((faults * MS_PER_MINUTE) / resultsMs),
    client_operations_per_virtual_minute: rounded((operations * MS_PER_MINUTE) / resultsMs),
    replayed_seeds: replays.length,
    trace_hashes_equal: replays.length === 0 ? null : equal,
    totals,
  };
}

/** Counts of all runs by name, in the order of names. */
function totalsOf(results: readonly SimulationResult[]): Record<string, number> {
  const totals = new Map<string, number>();
  for (const { counts } of results)
    for (const [name, count] of Object.entries(counts)) totals.set(name, (totals.get(name) ?? 0) + count);
  return Object.fromEntries([...totals].toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

const sumOf = (totals: Readonly<Record<string, number>>, counts: (name: string) => boolean): number =>
  Object.entries(totals).reduce((sum, [name, count]) => (counts(name) ? sum + count : sum), 0);

const rounded = (value: number): number => Math.round(value * 10) / 10;
