import type { Json } from '../../shared/domain/records.ts';
import { entities } from '../../shared/store/entities.ts';
import { migrate } from '../../shared/store/migration.ts';
import type { Fields, Migration } from '../../shared/store/migration.ts';
import type { ItemKey } from '../../shared/ports.ts';
import { checkAuditNumbers } from '../support/world-checks.ts';
import { storeWorld } from '../support/store.ts';
import type { StoreWorld } from '../support/store.ts';

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

/** Configuration that gets a unit of its own out of its value: up splits `5 s`, down joins it again. */
const unitOfItsOwn: Migration<'config'> = {
  name: 'unit-of-its-own',
  kind: 'config',
  fromVersion: 1,
  up: ({ configValue, ...rest }) => {
    const [number, unit] = text(configValue).split(' ');
    return { ...rest, configValue: number ?? '', unit: unit ?? '' };
  },
  down: ({ configValue, unit, ...rest }) => ({ ...rest, configValue: `${text(configValue)} ${text(unit)}` }),
  audit: (fields, nextRevision) => ({ entity: `config:${text(fields['configKey'])}`, number: nextRevision }),
};

describe('migrations', () => {
  let world: StoreWorld;
  beforeEach(() => {
    world = storeWorld();
  });
  afterEach(() => world.close());

  const put = async (configKey: string, configValue: string): Promise<void> => {
    const stored = await world.records.get('config', { configKey });
    const revision = stored?.revision ?? null;
    const committed = await world.records.commit({
      writes: [
        {
          kind: 'put',
          entity: 'config',
          value: { ...stored?.value, configKey, configValue, updatedAtMs: 0 },
          when: [revision === null ? { kind: 'absent' } : { kind: 'revision', is: revision }],
        },
      ],
      audit: [
        { entity: `config:${configKey}`, number: (revision ?? 0) + 1, action: 'SET', principal: 'test', detail: {} },
      ],
      events: [],
    });
    if (!committed.ok) throw new Error('refused');
  };
  const keyOf = (configKey: string): ItemKey => ({ table: 'catalog', pk: 'CONFIG', sk: `C#${configKey}` });
  const body = async (configKey: string): Promise<Fields | undefined> =>
    (await world.store.get(keyOf(configKey)))?.body;
  const go = (direction: 'UP' | 'DOWN', mode: 'WRITE' | 'COUNT' = 'WRITE', migration = unitOfItsOwn) =>
    migrate(world.store, migration, { direction, mode, partition: {}, nowMs: 1_000 });

  test('up, while this release goes on reading and writing; again; and down to where it began', async () => {
    for (let index = 0; index < 250; index++) await put(`key-${String(index).padStart(3, '0')}`, `${index} ms`);
    expect(await go('UP', 'COUNT')).toEqual({ ok: true, value: { migrated: 250, done: 0 } });
    expect((await body('key-007'))?.['v']).toBe(1);
    expect(await go('UP')).toEqual({ ok: true, value: { migrated: 250, done: 0 } });
    expect(await body('key-007')).toEqual({ v: 2, configKey: 'key-007', configValue: '7', unit: 'ms', updatedAtMs: 0 });
    expect(await go('UP')).toEqual({ ok: true, value: { migrated: 0, done: 250 } });
    // The earlier release changes one, and makes another.
    await put('key-007', '8');
    await put('new', '9 s');
    expect(await body('key-007')).toMatchObject({ v: 2, configValue: '8', unit: 'ms' });
    expect(await go('UP')).toEqual({ ok: true, value: { migrated: 1, done: 250 } });
    expect(await go('DOWN')).toEqual({ ok: true, value: { migrated: 251, done: 0 } });
    expect(await body('key-007')).toEqual({ v: 1, configKey: 'key-007', configValue: '8 ms', updatedAtMs: 0 });
    expect(checkAuditNumbers(world.committed)).toEqual([]);
  });

  test('a record that could not be taken back is not touched, and named', async () => {
    await put('a', '1 ms');
    await put('b', '1 ms and more');
    expect(await go('UP')).toEqual({ ok: false, error: { code: 'MIGRATION_NOT_REVERSIBLE', sortKey: 'C#b' } });
    expect([(await body('a'))?.['v'], (await body('b'))?.['v']]).toEqual([2, 1]);
  });

  test('a record that changes between read and write is looked at again; one that keeps changing is named', async () => {
    await put('a', '1 ms');
    let races = 1;
    let busy = false;
    const { store } = world;
    const racing = new Proxy(store, {
      get: (target, name) =>
        name === 'transact'
          ? async (...args: Parameters<typeof store.transact>) => {
              if (!busy && races > 0) {
                races--;
                busy = true;
                await put('a', `${10 + races} ms`);
                busy = false;
              }
              return target.transact(...args);
            }
          : (Reflect.get(target, name) as (...args: unknown[]) => unknown).bind(target),
    });
    const run = { direction: 'UP', mode: 'WRITE', partition: {}, nowMs: 1_000 } as const;
    expect(await migrate(racing, unitOfItsOwn, run)).toEqual({ ok: true, value: { migrated: 1, done: 0 } });
    expect(await body('a')).toMatchObject({ v: 2, configValue: '10', unit: 'ms' });
    await put('b', '1 ms');
    expect(await go('DOWN')).toMatchObject({ ok: true });
    races = 100;
    expect(await migrate(racing, unitOfItsOwn, run)).toEqual({
      ok: false,
      error: { code: 'MIGRATION_CONTENDED', sortKey: 'C#a' },
    });
  });

  test('a version that the migration does not know is a mistake of who runs it', async () => {
    await put('a', '1 ms');
    await expect(go('UP', 'WRITE', { ...unitOfItsOwn, fromVersion: 4 })).rejects.toThrow(
      'migration unit-of-its-own leads from version 4 to 5; C#a has 1',
    );
    expect(entities.config.codec.decode((await body('a')) ?? {})).toMatchObject({ configValue: '1 ms' });
  });
});
