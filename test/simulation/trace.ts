import { createHash } from 'node:crypto';
import type { Logger } from '../../shared/domain/environment.ts';

/** Lines kept for the report of a failure; the hash covers every line. */
const TAIL_LINES_MAX = 4_000;

/** What happened in a run: a hash over every line (two runs of one seed must agree) and the last lines, to read. */
export class Trace {
  private readonly hash = createHash('sha256');
  private readonly lines: string[] = [];
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
    this.hash.update(line).update('\n');
    this.lines.push(line);
    this.onLine(line);
    this.count++;
    if (this.lines.length > TAIL_LINES_MAX * 2) this.lines.splice(0, TAIL_LINES_MAX);
  }

  /** Hex digest over all lines so far. */
  digest(): string {
    return this.hash.copy().digest('hex');
  }

  tail(lines: number): readonly string[] {
    return this.lines.slice(-Math.min(lines, TAIL_LINES_MAX));
  }
}

/** Fields that differ between two runs of one seed, or say nothing: keys and signatures are made by the machine's own randomness. */
const UNTRACED_FIELDS = new Set(['credential', 'signature', 'stack']);

/** A process's log as trace lines. */
export function traceLogger(trace: Trace, source: string): Logger {
  const write =
    (level: string) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      const text = JSON.stringify(fields, (key, value: unknown) =>
        UNTRACED_FIELDS.has(key) ? undefined : value instanceof Error ? String(value) : value,
      );
      trace.add(source, `${level} ${event} ${text}`);
    };
  return { info: write('.'), warn: write('!'), error: write('!!') };
}
