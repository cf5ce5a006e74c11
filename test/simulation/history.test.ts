import { checkRegister } from './history.ts';
import type { RegisterOperation } from './history.ts';
import { seededRandom } from './random.ts';

const write = (value: string, startMs: number, endMs: number | null): RegisterOperation => ({
  kind: 'write',
  value,
  startMs,
  endMs,
  client: 'w',
});
const read = (value: string | null, startMs: number, endMs: number): RegisterOperation => ({
  kind: 'read',
  value,
  startMs,
  endMs,
  client: 'r',
});

describe('good histories are accepted', () => {
  test.each<[string, RegisterOperation[]]>([
    ['nothing happened', []],
    ['a read of the empty register', [read(null, 0, 1)]],
    ['write, then read', [write('a', 0, 1), read('a', 2, 3)]],
    [
      'a read beside a write sees the old or the new value',
      [write('a', 0, 1), write('b', 2, 5), read('a', 3, 4), read('b', 3, 5)],
    ],
    [
      'an unknown outcome that is seen much later',
      [write('a', 0, null), write('b', 1, 2), read('b', 3, 4), read('a', 50, 51)],
    ],
    ['an unknown outcome that never happened', [write('a', 0, null), write('b', 1, 2), read('b', 60, 61)]],
    ['two writes at once, read in either order', [write('a', 0, 10), write('b', 0, 10), read('b', 11, 12)]],
  ])('%s', (_, history) => {
    expect(checkRegister('k', history)).toEqual([]);
  });
});

describe('bad histories are rejected', () => {
  test.each<[string, RegisterOperation[]]>([
    ['a lost acknowledged write', [write('a', 0, 1), read(null, 2, 3)]],
    ['a stale read', [write('a', 0, 1), write('b', 2, 3), read('a', 4, 5)]],
    ['a read that goes back', [write('a', 0, 1), write('b', 2, null), read('b', 3, 4), read('a', 5, 6)]],
    ['a value out of nowhere', [read('ghost', 0, 1)]],
    ['a read before its write', [read('a', 0, 1), write('a', 2, 3)]],
    ['a write swallowed by a standing value', [write('a', 0, 1), write('b', 3, 4), read('a', 2, 6), read('a', 7, 8)]],
  ])('%s', (_, history) => {
    expect(checkRegister('k', history)).not.toEqual([]);
  });
});

/** All orders of the operations that respect real time, tried one by one: slow and obviously right. */
function linearizableBySearch(history: readonly RegisterOperation[]): boolean {
  const end = (operation: RegisterOperation): number => operation.endMs ?? Infinity;
  const search = (left: readonly RegisterOperation[], value: string | null): boolean => {
    if (left.every((operation) => operation.kind === 'write' && operation.endMs === null)) return true;
    const firstEndMs = Math.min(...left.map(end));
    return left.some((operation) => {
      if (operation.startMs > firstEndMs) return false;
      if (operation.kind === 'read' && operation.value !== value) return false;
      const rest = left.filter((other) => other !== operation);
      return search(rest, operation.kind === 'write' ? operation.value : value);
    });
  };
  return search(history, null);
}

test('agrees with a search through all orders on 4,000 random small histories', () => {
  const random = seededRandom('histories');
  let accepted = 0;
  for (let round = 0; round < 4_000; round++) {
    const values = ['a', 'b', 'c'].slice(0, 1 + random.below(3));
    const interval = (): [number, number] => {
      const startMs = random.below(12) + random.next();
      return [startMs, startMs + random.below(8) + random.next()];
    };
    const history: RegisterOperation[] = values.map((value) => {
      const [startMs, endMs] = interval();
      return write(value, startMs, random.chance(0.2) ? null : endMs);
    });
    for (let i = random.below(4); i > 0; i--) {
      const [startMs, endMs] = interval();
      history.push(read(random.chance(0.2) ? null : random.pick(values), startMs, endMs));
    }
    const expected = linearizableBySearch(history);
    if (expected) accepted++;
    expect({ history, ok: checkRegister('k', history).length === 0 }).toEqual({ history, ok: expected });
  }
  expect(accepted).toBeGreaterThan(500);
  expect(accepted).toBeLessThan(3_500);
});
