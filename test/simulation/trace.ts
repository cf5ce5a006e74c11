import { createHash } from 'node:crypto';
import type { Logger } from '../../shared/domain/environment.ts';

/** Lines kept for the report of a failure; the hash covers every line. */
const TAIL_LINES_MAX = 4_000;
/** Entries that are written out at a time: one by one they cost three times as much. */
const WRITTEN_TOGETHER = 512;

type Fields = Readonly<Record<string, unknown>>;

interface Entry {
  readonly atMs: number;
  readonly source: string;
  readonly text: string;
  readonly fields: Fields | null;
}

/** What happened in a run: a hash over every line (two runs of one seed must agree) and the last lines, to read. */
export class Trace {
  private readonly hash = createHash('sha256');
  private readonly lines: string[] = [];
  /** Not yet lines. */
  private entries: Entry[] = [];
  private readonly nowMs: () => number;
  private readonly onLine: ((line: string) => void) | null;
  /** Lines so far. */
  count = 0;

  /** `onLine` sees every line, in the moment of its entry, also those that are no longer kept. */
  constructor(nowMs: () => number, onLine: ((line: string) => void) | null = null) {
    this.nowMs = nowMs;
    this.onLine = onLine;
  }

  /** `fields` follow the text as JSON; they must not be changed afterwards. */
  add(source: string, text: string, fields: Fields | null = null): void {
    this.entries.push({ atMs: this.nowMs(), source, text, fields });
    this.count++;
    if (this.onLine !== null || this.entries.length === WRITTEN_TOGETHER) this.write();
  }

  /** Hex digest over all lines so far. */
  digest(): string {
    this.write();
    return this.hash.copy().digest('hex');
  }

  tail(lines: number): readonly string[] {
    this.write();
    return this.lines.slice(-Math.min(lines, TAIL_LINES_MAX));
  }

  private write(): void {
    if (this.entries.length === 0) return;
    const written = this.entries.map(lineOf);
    this.entries = [];
    this.hash.update(`${written.join('\n')}\n`);
    this.lines.push(...written);
    if (this.lines.length > TAIL_LINES_MAX * 2) this.lines.splice(0, TAIL_LINES_MAX);
    if (this.onLine !== null) written.forEach(this.onLine);
  }
}

function lineOf({ atMs, source, text, fields }: Entry): string {
  const more = fields === null ? '' : ` ${JSON.stringify(fields, isFlat(fields) ? undefined : traced)}`;
  return `${atMs.toFixed(3).padStart(12)} ${source.padEnd(14)} ${text}${more}`;
}

/** Fields that differ between two runs of one seed, or say nothing: keys and signatures are made by the machine's own randomness. */
const UNTRACED_FIELDS = new Set(['credential', 'signature', 'stack']);

const traced = (key: string, value: unknown): unknown =>
  UNTRACED_FIELDS.has(key) ? undefined : value instanceof Error ? String(value) : value;

/** True if there is nothing for `traced` to do. */
function isFlat(fields: Fields): boolean {
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    if ((typeof value === 'object' && value !== null) || UNTRACED_FIELDS.has(name)) return false;
  }
  return true;
}

/** A process's log as trace lines. */
export function traceLogger(trace: Trace, source: string): Logger {
  const write =
    (level: string) =>
    (event: string, fields: Fields = {}): void =>
      trace.add(source, `${level} ${event}`, fields);
  return { info: write('.'), warn: write('!'), error: write('!!') };
}
