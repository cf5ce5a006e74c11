import type { SeededRandom } from '../simulation/random.ts';
import type { RegisterOperation } from './operations.ts';

/** Histories of clients of one true register, as it answers them after random delays, and such histories with one lie in them. */
export interface HistoryShape {
  /** Each does one thing after the other. */
  readonly clients: number;
  /** Of all clients together. */
  readonly operations: number;
  /** Shares of all operations; the rest are reads. */
  readonly puts: number;
  readonly deletes: number;
  /** Of the writes: those whose outcome the client does not learn. Half of them take effect, some of those very late. */
  readonly unknown: number;
}

const THINK_MS_MAX = 5;
const ANSWER_MS_MAX = 20;
/** Now and then an answer takes this much longer. */
const LATE_FACTOR = 20;
const LATE_CHANCE = 0.03;

/** A history that a linearizable register gave. */
export function randomHistory(random: SeededRandom, shape: HistoryShape): RegisterOperation[] {
  const clients = Array.from({ length: shape.clients }, (_, index) => ({ name: `c${index + 1}`, nowMs: 0 }));
  const happened: { readonly operation: RegisterOperation; readonly atMs: number }[] = [];
  for (let number = 0; number < shape.operations; number++) {
    const client = random.pick(clients);
    const startMs = client.nowMs + random.between(0, THINK_MS_MAX);
    const late = random.chance(LATE_CHANCE) ? LATE_FACTOR : 1;
    const endMs = startMs + random.between(0, ANSWER_MS_MAX * late);
    client.nowMs = endMs;
    const atMs = random.between(startMs, endMs);
    const draw = random.next();
    if (draw >= shape.puts + shape.deletes) {
      happened.push({ operation: { kind: 'read', value: null, startMs, endMs, client: client.name }, atMs });
      continue;
    }
    const write = { kind: 'write', startMs, client: client.name } as const;
    const value = draw < shape.puts ? `v${number}` : null;
    if (!random.chance(shape.unknown)) happened.push({ operation: { ...write, value, endMs }, atMs });
    else {
      const effectMs = random.chance(0.5) ? atMs + random.between(0, ANSWER_MS_MAX * LATE_FACTOR) : Infinity;
      happened.push({ operation: { ...write, value, endMs: null }, atMs: effectMs });
    }
  }
  let value: string | null = null;
  return happened
    .toSorted((left, right) => left.atMs - right.atMs)
    .map(({ operation, atMs }) => {
      if (operation.kind === 'read') return { ...operation, value };
      if (atMs !== Infinity) value = operation.value;
      return operation;
    });
}

/** `history` with one read that answers the value of some other put; null if there is none. */
export function corrupted(random: SeededRandom, history: readonly RegisterOperation[]): RegisterOperation[] | null {
  const reads = history.flatMap((operation, index) => (operation.kind === 'read' ? [{ operation, index }] : []));
  if (reads.length === 0) return null;
  const { operation, index } = random.pick(reads);
  const values = history.filter(({ kind, value }) => kind === 'write' && value !== null && value !== operation.value);
  if (values.length === 0) return null;
  return history.with(index, { ...operation, value: random.pick(values).value });
}
