import { stableBucket } from '../../shared/domain/liveness-bucket.ts';
import { commandId, nodeId, operationId } from '../../shared/domain/ids.ts';
import { Bug } from '../../shared/domain/result.ts';
import { timeOrderedIds } from '../../shared/domain/time-ordered-id.ts';
import { EVENT_BUCKETS, LIVENESS_BUCKETS } from '../../shared/ports.ts';
import type { Change, EntityValue, RecordWrite, UnauditedWrite } from '../../shared/ports.ts';
import { eventHour, recordKey } from '../../shared/store/entities.ts';
import { ManualClock, seededRandom } from '../support/environment.ts';
import { aLease, aShard } from '../support/shards.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';

let world: StoreWorld;
beforeEach(() => {
  world = storeWorld();
});
afterEach(() => world.close());

const config = (configKey: string, configValue: number): EntityValue<'config'> => ({
  configKey,
  configValue,
  updatedAtMs: 1,
});
const change = (writes: readonly RecordWrite[], number = 1, events: Change['events'] = []): Change => ({
  writes,
  audit: [{ entity: 'config:rf', number, action: 'CONFIG_SET', principal: 'admin', detail: { writes: writes.length } }],
  events,
});
const create = (value: EntityValue<'config'>): RecordWrite => ({
  kind: 'put',
  entity: 'config',
  value,
  when: [{ kind: 'absent' }],
});

describe('a commit', () => {
  test('writes records, audit entry and event in one transaction', async () => {
    const events = [{ eventType: 'CONFIG_CHANGED', payload: { key: 'rf' } }];
    expect(await world.records.commit(change([create(config('rf', 3))], 1, events))).toEqual({
      ok: true,
      value: undefined,
    });
    expect(world.committed).toHaveLength(1);
    expect(world.committed[0]!.map(({ key }) => key.table).sort()).toEqual(['catalog', 'events', 'events']);
    const audit = await world.records.get('audit', { entity: 'config:rf', number: 1 });
    expect(audit?.value).toMatchObject({ action: 'CONFIG_SET', atMs: world.clock.wallMs() });
  });

  test('that fails tells which write, and the record as it is', async () => {
    await world.records.commit(change([create(config('rf', 3))]));
    const failed = await world.records.commit(change([create(config('other', 1)), create(config('rf', 5))], 2));
    expect(failed).toMatchObject({
      ok: false,
      error: { index: 1, current: { revision: 1, value: { configKey: 'rf', configValue: 3 } } },
    });
    expect(await world.records.get('config', { configKey: 'other' })).toBeNull();
    expect(await world.records.get('audit', { entity: 'config:rf', number: 2 })).toBeNull();
  });

  test('under an audit number that is taken does nothing and says -1', async () => {
    await world.records.commit(change([create(config('rf', 3))]));
    const clash = await world.records.commit(change([create(config('other', 1))], 1));
    expect(clash).toMatchObject({ ok: false, error: { index: -1, current: { value: { action: 'CONFIG_SET' } } } });
    expect(await world.records.get('config', { configKey: 'other' })).toBeNull();
  });

  test('without an audit entry is a bug (I-16)', async () => {
    const { audit: _audit, ...rest } = change([create(config('rf', 3))]);
    await expect(world.records.commit({ ...rest, audit: [] })).rejects.toThrow(Bug);
  });

  test('puts each event into the bucket of its hour', async () => {
    for (let number = 1; number <= 20; number++)
      await world.records.commit(change([], number, [{ eventType: 'E', payload: { number } }]));
    const hour = eventHour(world.clock.wallMs());
    expect(hour).toBe('2026-11-20T20');
    const numbers: unknown[] = [];
    for (let bucket = 0; bucket < EVENT_BUCKETS; bucket++) {
      const page = await world.records.query('event', { partition: { hour, bucket }, order: 'forward', limit: 100 });
      numbers.push(...page.items.map(({ value }) => (value.payload as { number: number }).number));
    }
    expect(numbers.toSorted((left, right) => Number(left) - Number(right))).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
  });
});

describe('an observation', () => {
  const lease: UnauditedWrite = { kind: 'put', entity: 'liveness', value: aLease(1), when: [{ kind: 'absent' }] };

  test('returns the record after it, or the one that stood in its way', async () => {
    expect(await world.records.observe(lease)).toMatchObject({
      ok: true,
      value: { revision: 1, value: { sequence: 1 } },
    });
    const renewed = await world.records.observe({
      kind: 'update',
      entity: 'liveness',
      id: { nodeId: nodeId('node-1') },
      set: { sequence: 2 },
      when: [{ kind: 'below', field: 'sequence', value: 2 }],
    });
    expect(renewed).toMatchObject({ ok: true, value: { revision: 2, value: { sequence: 2, mail: 0 } } });
    expect(await world.records.observe(lease)).toMatchObject({
      ok: false,
      error: { index: 0, current: { revision: 2, value: { sequence: 2 } } },
    });
  });

  test('of a kind that needs an audit entry is a bug (I-16)', async () => {
    const sneaky = create(config('rf', 1)) as unknown as UnauditedWrite;
    await expect(world.records.observe(sneaky)).rejects.toThrow(Bug);
    await expect(world.records.observeAll([lease, sneaky])).rejects.toThrow(Bug);
    expect(world.committed).toHaveLength(0);
  });

  test('of several records is all or none', async () => {
    const other: UnauditedWrite = { kind: 'put', entity: 'liveness', value: aLease(2), when: [{ kind: 'absent' }] };
    expect((await world.records.observeAll([lease, other])).ok).toBe(true);
    const third: UnauditedWrite = { kind: 'put', entity: 'liveness', value: aLease(3), when: [{ kind: 'absent' }] };
    expect(await world.records.observeAll([third, other])).toMatchObject({ ok: false, error: { index: 1 } });
    expect(await world.records.get('liveness', { nodeId: nodeId('node-3') })).toBeNull();
  });
});

describe('a query', () => {
  test('lists one kind of a shared partition, in order, between ids, page by page', async () => {
    for (let number = 1; number <= 25; number++) await world.records.commit(change([], number));
    const numbers = async (query: Omit<Parameters<typeof world.records.query<'audit'>>[1], 'partition'>) => {
      const page = await world.records.query('audit', { partition: { entity: 'config:rf' }, ...query });
      return { numbers: page.items.map(({ value }) => value.number), next: page.next };
    };
    // 9 before 10 before 11: numbers are padded.
    const first = await numbers({ order: 'backward', limit: 20 });
    expect(first.numbers).toEqual(Array.from({ length: 20 }, (_, index) => 25 - index));
    expect((await numbers({ order: 'backward', limit: 20, after: first.next! })).numbers).toEqual([5, 4, 3, 2, 1]);
    const entity = 'config:rf';
    const between = { from: { entity, number: 9 }, to: { entity, number: 11 } };
    expect((await numbers({ order: 'forward', limit: 20, ...between })).numbers).toEqual([9, 10, 11]);
  });

  test('of a page’s shards does not meet its header', async () => {
    const { directory, records } = world;
    await directory.append(aShard().tableId, [aShard()], { principal: 'test', action: 'TEST' });
    const { page } = (await directory.lookup(aShard().tableId, aShard().startKey))!;
    const shards = await records.query('shard', { partition: { page }, order: 'forward', limit: 10 });
    expect(shards.items.map(({ value }) => value)).toEqual([aShard()]);
    const headers = await records.query('page', { partition: { page }, order: 'forward', limit: 10 });
    expect(headers.items).toHaveLength(1);
  });

  test('finds every liveness record in one of the buckets', async () => {
    for (let node = 1; node <= 60; node++)
      await world.records.observe({ kind: 'put', entity: 'liveness', value: aLease(node), when: [{ kind: 'absent' }] });
    let found = 0;
    for (let bucket = 0; bucket < LIVENESS_BUCKETS; bucket++)
      found += (await world.records.query('liveness', { partition: { bucket }, order: 'forward', limit: 100 })).items
        .length;
    expect(found).toBe(60);
  });
});

describe('a record’s codec', () => {
  const key = recordKey('config', { configKey: 'rf' });
  const stored = async (body: Record<string, string | number>): Promise<void> => {
    await world.store.write({ kind: 'put', key, body, when: [{ kind: 'absent' }] });
  };
  const read = () => world.records.get('config', { configKey: 'rf' });

  test('writes its schema version', async () => {
    await world.records.commit(change([create(config('rf', 3))]));
    expect((await world.store.get(key))?.body).toEqual({ v: 1, ...config('rf', 3) });
  });

  test('reads a record of the next release and ignores what it does not know', async () => {
    await stored({ v: 2, ...config('rf', 3), novelty: 'x' } as Record<string, string | number>);
    expect(JSON.parse(JSON.stringify((await read())?.value))).toEqual(config('rf', 3));
  });

  test('refuses what is two releases ahead, has no version, or is no such record', async () => {
    for (const body of [
      { v: 3, configKey: 'rf', configValue: 3, updatedAtMs: 1 },
      { configKey: 'rf', configValue: 3, updatedAtMs: 1 },
      { v: 1, configKey: 'rf', configValue: 3 },
    ]) {
      await stored(body);
      await expect(read()).rejects.toThrow(Bug);
      await world.store.write({ kind: 'delete', key, when: [] });
    }
  });

  test('refuses to write what the reader would refuse', async () => {
    const bad = { ...config('rf', 3), updatedAtMs: -1 };
    await expect(world.records.commit(change([create(bad)]))).rejects.toThrow(Bug);
    const set = { configValue: 3, nonsense: 1 } as Partial<EntityValue<'config'>>;
    const update: RecordWrite = { kind: 'update', entity: 'config', id: { configKey: 'rf' }, set, when: [] };
    await expect(world.records.commit(change([update]))).rejects.toThrow(Bug);
  });
});

describe('keys', () => {
  test('of records that callers name can’t collide', () => {
    const keys = [
      recordKey('idempotency', { scope: 'a#b', key: 'c' }),
      recordKey('idempotency', { scope: 'a', key: 'b#c' }),
      recordKey('command', { nodeId: nodeId('n'), commandId: commandId('c') }),
      recordKey('operation', { operationId: operationId('c') }),
    ];
    expect(new Set(keys.map((one) => JSON.stringify(one))).size).toBe(keys.length);
  });

  test('spread nodes over all buckets, the same in every process', () => {
    const buckets = Array.from({ length: 1000 }, (_, index) => stableBucket(`node-${index}`, LIVENESS_BUCKETS));
    for (let bucket = 0; bucket < LIVENESS_BUCKETS; bucket++) {
      const share = buckets.filter((one) => one === bucket).length;
      expect(share).toBeGreaterThan(1000 / LIVENESS_BUCKETS / 2);
      expect(share).toBeLessThan((1000 / LIVENESS_BUCKETS) * 2);
    }
    // FNV-1a of 'node-101' is stored in nobody's memory but must not change: it is part of the stored keys.
    expect(stableBucket('node-101', LIVENESS_BUCKETS)).toBe(buckets[101]);
    expect(stableBucket('a', 2 ** 31)).toBe(0xe40c292c % 2 ** 31);
  });

  test('that are time-ordered keep the order of making, also when the clock is set back', () => {
    const clock = new ManualClock();
    const make = timeOrderedIds({ clock, random: seededRandom(3) });
    const ids = [make('x'), make('x')];
    clock.advance(-5000);
    ids.push(make('x'));
    clock.advance(6000);
    ids.push(make('x'));
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(4);
  });
});
