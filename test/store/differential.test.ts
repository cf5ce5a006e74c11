import { revision } from '../../shared/domain/ids.ts';
import type { Random } from '../../shared/domain/environment.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { Condition, EntryWrite, ItemKey, ItemWrite, MetadataStore, StoredItem } from '../../shared/ports.ts';
import { DynamoStore } from '../../shared/store/dynamo-store.ts';
import { SqliteStore } from '../../shared/store/sqlite-store.ts';
import { findEngine, startEngine, testTables } from '../support/dynamo-engine.ts';
import type { DynamoEngine } from '../support/dynamo-engine.ts';
import { hastyTimers, seededRandom } from '../support/environment.ts';

/**
 * The same random operations on both stores, one after the other: every answer must be the same, write ids apart. `STORE_OPERATIONS` sets
 * their number (400), `STORE_SEED` the seed (printed on failure with the operation).
 */
const OPERATIONS = Number(process.env['STORE_OPERATIONS'] ?? 400);
const SEED = Number(process.env['STORE_SEED'] ?? 20261120);
const MS_PER_OPERATION = 20;

const PARTITIONS = 3;
const SORT_KEYS = [
  'H',
  'K#',
  'K#a',
  'K#a\u0000',
  'K#b',
  'K#é',
  'K#\u{FF5E}',
  'K#\u{1F600}',
  'K#\u{10FFFF}',
  'K$',
  'S#1',
];
const FIELDS = ['n', 'text', 'state', 'a.b', 'size'];

/** Draws operations; small ranges, so that conditions hold about as often as they fail. */
class Draw {
  readonly #random: Random;
  readonly #run: string;
  constructor(random: Random, run: string) {
    this.#random = random;
    this.#run = run;
  }
  below(count: number): number {
    return Math.floor(this.#random.next() * count);
  }
  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
  some<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.below(max + 1) }, make);
  }
  partition(): string {
    return `${this.#run}#${this.below(PARTITIONS)}`;
  }
  key(): ItemKey {
    return { table: this.of(['topology', 'events']), pk: this.partition(), sk: this.of(SORT_KEYS) };
  }
  scalar(): string | number | boolean | null {
    return this.of([0, 1, 2, 3, -1.5, 'x', 'y', '\u{1F600}', '', true, false, null]);
  }
  value(): Json {
    return this.of<() => Json>([
      () => this.scalar(),
      () => ({ e: this.scalar(), f: this.scalar() }),
      () => [this.scalar(), { e: this.scalar() }],
    ])();
  }
  body(): StoredItem['body'] {
    return Object.fromEntries(this.some(4, () => [this.of(FIELDS), this.value()]));
  }
  condition(): Condition {
    const field = this.of([...FIELDS, [this.of(FIELDS), this.of(['e', 'f'])] as const]);
    return this.of<() => Condition>([
      () => ({ kind: 'absent' }),
      () => ({ kind: 'present' }),
      () => ({ kind: 'revision', is: revision(1 + this.below(4)) }),
      () => ({ kind: 'equals', field, value: this.scalar() }),
      () => ({ kind: 'below', field, value: this.below(4) }),
    ])();
  }
  write(): Exclude<ItemWrite, { kind: 'check' }> {
    const key = this.key();
    const when = this.some(2, () => this.condition());
    return this.of<() => Exclude<ItemWrite, { kind: 'check' }>>([
      () => ({ kind: 'put', key, body: this.body(), when: [{ kind: 'absent' }] }),
      () => ({
        kind: 'put',
        key,
        body: this.body(),
        when: [{ kind: 'revision', is: revision(1 + this.below(3)) }, ...when],
      }),
      () => ({ kind: 'update', key, set: this.body(), when }),
      () => ({ kind: 'update', key, set: this.body(), when: [] }),
      () => ({ kind: 'update', key, set: {}, entries: this.entries(), when }),
      () => ({ kind: 'update', key, set: {}, entries: this.entries(), when: [] }),
      () => ({ kind: 'delete', key, when }),
    ])();
  }
  entries(): EntryWrite[] {
    const drawn = this.some(2, (): EntryWrite => {
      const path = { field: this.of(FIELDS), entry: this.of(['e', 'f', 'a.b']) };
      return this.below(3) === 0 ? { kind: 'remove', ...path } : { kind: 'set', ...path, value: this.value() };
    });
    return [...new Map(drawn.map((change) => [`${change.field}/${change.entry}`, change])).values()];
  }
  transaction(): ItemWrite[] {
    const writes = Array.from({ length: 1 + this.below(4) }, (): ItemWrite => {
      if (this.below(4) > 0) return this.write();
      return { kind: 'check', key: this.key(), when: [this.condition()] };
    });
    return [...new Map(writes.map((write) => [JSON.stringify(write.key), write])).values()];
  }
  operation(): { name: string; run: (store: MetadataStore) => Promise<unknown> } {
    const kind = this.of([
      'write',
      'write',
      'write',
      'transact',
      'transact',
      'query',
      'query',
      'get',
      'getMany',
      'getSnapshot',
    ]);
    switch (kind) {
      case 'write': {
        const write = this.write();
        return { name: `write ${JSON.stringify(write)}`, run: (store) => store.write(write) };
      }
      case 'transact': {
        const writes = this.transaction();
        return { name: `transact ${JSON.stringify(writes)}`, run: (store) => store.transact(writes) };
      }
      case 'query': {
        const bound = (): string => this.of([...SORT_KEYS, 'A', 'K#aa', 'Z']);
        const request = {
          table: this.of(['topology', 'events'] as const),
          pk: this.partition(),
          order: this.of(['forward', 'backward'] as const),
          limit: 1 + this.below(6),
          ...(this.below(2) === 0 ? {} : { from: bound() }),
          ...(this.below(2) === 0 ? {} : { to: bound() }),
          ...(this.below(3) > 0 ? {} : { after: bound() }),
        };
        return { name: `query ${JSON.stringify(request)}`, run: (store) => store.query(request) };
      }
      case 'get': {
        const key = this.key();
        return { name: `get ${JSON.stringify(key)}`, run: (store) => store.get(key) };
      }
      default: {
        const keys = this.some(6, () => this.key());
        const method = kind === 'getMany' ? 'getMany' : 'getSnapshot';
        return { name: `${method} ${JSON.stringify(keys)}`, run: (store) => store[method](keys) };
      }
    }
  }
}

/** An answer without write ids, map entries in one order. */
const comparable = (answer: unknown): unknown =>
  JSON.parse(
    JSON.stringify(answer, (name, value: unknown) => {
      if (name === 'writeId') return undefined;
      if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
      return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
    }) ?? 'null',
  );

const found = findEngine();
if (found.kind === 'none') console.warn(`differential test of the stores skipped: ${found.why}`);

(found.kind === 'none' ? describe.skip : describe)('both stores', () => {
  let engine: DynamoEngine;
  beforeAll(async () => {
    engine = await startEngine();
  });
  afterAll(() => engine.stop());

  test(
    `answer ${OPERATIONS} random operations alike (seed ${SEED})`,
    async () => {
      const draw = new Draw(seededRandom(SEED), `run-${Date.now()}`);
      const sqlite = new SqliteStore({ path: ':memory:', random: seededRandom(1) });
      const dynamo = new DynamoStore({
        client: engine.client,
        tables: testTables,
        random: seededRandom(Date.now()),
        timers: hastyTimers,
      });
      const outcomes = { ok: 0, failed: 0 };
      for (let step = 0; step < OPERATIONS; step++) {
        const { name, run } = draw.operation();
        const [expected, actual] = [comparable(await run(sqlite)), comparable(await run(dynamo))];
        const context = `seed ${SEED}, operation ${step}: ${name}`;
        expect({ context, answer: actual }).toEqual({ context, answer: expected });
        if (expected !== null && typeof expected === 'object' && 'ok' in expected)
          outcomes[expected.ok === true ? 'ok' : 'failed'] += 1;
      }
      // Both kinds of outcome are met often, else the comparison says little.
      expect(Math.min(outcomes.ok, outcomes.failed)).toBeGreaterThan(OPERATIONS / 20);
      sqlite.close();
    },
    30_000 + OPERATIONS * MS_PER_OPERATION,
  );
});
