import { createHash } from 'node:crypto';
import type { Logger } from '../../shared/domain/environment.ts';

/** Lines kept for the report of a failure; the hash covers every line. */
const TAIL_LINES_MAX = 4_000;

/** What happened in a run: a hash over every line (two runs of one seed must agree) and the last lines, to read. */
export class Trace {
  private readonly hash = createHash('sha256');
  /** The newest lines, the last `unhashed` of them not yet in the hash. */
  private readonly lines: string[] = [];
  private unhashed = 0;
  private readonly nowMs: () => number;
  private readonly onLine: (line: string) => void;
  /** Lines written so far. */
  count = 0;

  /** `onLine` sees every line, also those that are no longer kept. */
  constructor(nowMs: () => number, onLine: (line: string) => void = () => undefined) {
    this.nowMs = nowMs;
    this.onLine = onLine;
  }

  add(source: string, text: string): void {
    const line = `${this.nowMs().toFixed(3).padStart(12)} ${source.padEnd(14)} ${text}`;
    this.lines.push(line);
    this.unhashed++;
    this.onLine(line);
    this.count++;
    if (this.lines.length <= TAIL_LINES_MAX * 2) return;
    this.hashLines();
    this.lines.splice(0, TAIL_LINES_MAX);
  }

  /** Hex digest over all lines so far. */
  digest(): string {
    this.hashLines();
    return this.hash.copy().digest('hex');
  }

  tail(lines: number): readonly string[] {
    return this.lines.slice(-Math.min(lines, TAIL_LINES_MAX));
  }

  /** Many lines at once: a call of the hash costs as much as a line's content. */
  private hashLines(): void {
    if (this.unhashed > 0) this.hash.update(`${this.lines.slice(-this.unhashed).join('\n')}\n`);
    this.unhashed = 0;
  }
}

/** Fields that differ between two runs of one seed, or say nothing: keys and signatures are made by the machine's own randomness. */
const UNTRACED_FIELDS = new Set(['credential', 'signature', 'stack']);

const traced = (key: string, value: unknown): unknown =>
  UNTRACED_FIELDS.has(key) ? undefined : value instanceof Error ? String(value) : value;

/** True if there is nothing for `traced` to do. */
function isFlat(fields: Readonly<Record<string, unknown>>): boolean {
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
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      trace.add(source, `${level} ${event} ${JSON.stringify(fields, isFlat(fields) ? undefined : traced)}`);
    };
  return { info: write('.'), warn: write('!'), error: write('!!') };
}
