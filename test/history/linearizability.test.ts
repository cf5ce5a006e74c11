import { seededRandom } from '../simulation/random.ts';
import { linearizableBySearch } from './every-order.ts';
import { BAD, GOOD } from './known-histories.ts';
import { checkRegister } from './linearizability.ts';
import type { RegisterOperation } from './operations.ts';
import { corrupted, randomHistory } from './random-history.ts';
import { linearizableByZones } from './zones.ts';

const accepted = (history: readonly RegisterOperation[]): boolean => checkRegister('k', history).length === 0;

test.each(GOOD)('accepted: %s', (_, history) => {
  expect(checkRegister('k', history)).toEqual([]);
  expect(linearizableBySearch(history)).toBe(true);
});

test.each(BAD)('rejected: %s', (_, history) => {
  expect(checkRegister('k', history)).not.toEqual([]);
  expect(linearizableBySearch(history)).toBe(false);
});

test('what is wrong is said in words', () => {
  const [, stale] = BAD[0]!;
  expect(checkRegister('user-7', stale)).toEqual([
    'user-7: w wrote b between 2 ms and 3 ms: no order of the operations explains it; before its end the register held a, which is read again later',
  ]);
  expect(() => checkRegister('k', [...stale, stale[0]!])).toThrow('written twice');
});

describe('against a search through every order', () => {
  it('agrees on 6,000 random small histories, right and wrong ones', () => {
    const random = seededRandom('small histories');
    let good = 0;
    for (let round = 0; round < 6_000; round++) {
      const history = anyHistory(random, 2 + random.below(8));
      const expected = linearizableBySearch(history);
      if (expected) good++;
      expect({ history, accepted: accepted(history) }).toEqual({ history, accepted: expected });
    }
    expect(good).toBeGreaterThan(1_000);
    expect(good).toBeLessThan(5_000);
  });

  it('agrees on 2,000 histories of few clients with one read changed', () => {
    const random = seededRandom('small corrupted histories');
    let bad = 0;
    for (let round = 0; round < 2_000; round++) {
      const shape = { clients: 3, operations: 9, puts: 0.3, deletes: 0.2, unknown: 0.3 };
      const history = corrupted(random, randomHistory(random, shape));
      if (history === null) continue;
      const expected = linearizableBySearch(history);
      if (!expected) bad++;
      expect({ history, accepted: accepted(history) }).toEqual({ history, accepted: expected });
    }
    expect(bad).toBeGreaterThan(500);
  });
});

/** Times and values at random, so close that most things happen at once. */
function anyHistory(random: ReturnType<typeof seededRandom>, operations: number): RegisterOperation[] {
  let values = 0;
  const history: RegisterOperation[] = [];
  for (let number = 0; number < operations; number++) {
    const startMs = random.below(12);
    const endMs = startMs + random.below(8);
    const client = `c${number}`;
    const draw = random.next();
    if (draw < 0.5) {
      const value = random.chance(0.3) ? null : `v${random.below(operations)}`;
      history.push({ kind: 'read', value, startMs, endMs, client });
    } else {
      const outcomeMs = random.chance(0.3) ? null : endMs;
      const value = draw < 0.7 ? null : `v${values++}`;
      history.push({ kind: 'write', value, startMs, endMs: outcomeMs, client });
    }
  }
  return history;
}

describe('histories of a true register', () => {
  const SHAPES = [
    { clients: 3, operations: 300, puts: 0.4, deletes: 0.1, unknown: 0.1 },
    { clients: 10, operations: 400, puts: 0.3, deletes: 0, unknown: 0.2 },
    { clients: 10, operations: 400, puts: 0.25, deletes: 0.25, unknown: 0.3 },
    { clients: 40, operations: 500, puts: 0.4, deletes: 0.2, unknown: 0.05 },
  ] as const;

  test.each(SHAPES)('are accepted, and mostly rejected once one read is changed: %j', (shape) => {
    const random = seededRandom(JSON.stringify(shape));
    let changed = 0;
    let rejected = 0;
    for (let round = 0; round < 60; round++) {
      const history = randomHistory(random, shape);
      expect({ round, problems: checkRegister('k', history) }).toEqual({ round, problems: [] });
      if (shape.deletes === 0) expect(linearizableByZones(history)).toBe(true);
      for (let lie = 0; lie < 5; lie++) {
        const wrong = corrupted(random, history);
        if (wrong === null) continue;
        changed++;
        const found = !accepted(wrong);
        if (found) rejected++;
        if (shape.deletes === 0) expect(linearizableByZones(wrong)).toBe(!found);
      }
    }
    expect(changed).toBeGreaterThan(250);
    expect(rejected / changed).toBeGreaterThan(0.8);
  });

  it('agree with zones on large histories without deletes, where every order is out of reach', () => {
    const random = seededRandom('zones');
    let bad = 0;
    for (let round = 0; round < 1_500; round++) {
      const shape = { clients: 2 + random.below(8), operations: 30, puts: 0.5, deletes: 0, unknown: 0.3 };
      const history = randomHistory(random, shape);
      const wrong = random.chance(0.7) ? (corrupted(random, history) ?? history) : history;
      const expected = linearizableByZones(wrong);
      if (!expected) bad++;
      expect({ wrong, accepted: accepted(wrong) }).toEqual({ wrong, accepted: expected });
    }
    expect(bad).toBeGreaterThan(300);
  });

  it('of 20,000 operations on one key by 50 clients, a fifth of the writes unknown, are checked', () => {
    const shape = { clients: 50, operations: 20_000, puts: 0.3, deletes: 0.15, unknown: 0.2 };
    const random = seededRandom('large');
    const history = randomHistory(random, shape);
    expect(checkRegister('k', history)).toEqual([]);
    expect(accepted(corrupted(random, history) ?? history)).toBe(false);
  });
});
