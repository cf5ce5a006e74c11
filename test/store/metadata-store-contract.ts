import { randomBytes } from 'node:crypto';
import { revision } from '../../shared/domain/ids.ts';
import { Bug } from '../../shared/domain/result.ts';
import type {
  Condition,
  ItemKey,
  ItemWrite,
  MetadataStore,
  QueryPage,
  QueryRequest,
  StoredItem,
} from '../../shared/ports.ts';

/** What every MetadataStore does (ports.ts). Both implementations pass this one suite. */
export function metadataStoreContract(open: () => Promise<MetadataStore>): void {
  let store: MetadataStore;
  let partition: string;
  beforeAll(async () => {
    store = await open();
  });
  beforeEach(() => {
    partition = `P#${randomBytes(6).toString('hex')}`;
  });

  const key = (sk: string, table: ItemKey['table'] = 'topology'): ItemKey => ({ table, pk: partition, sk });
  const absent: readonly Condition[] = [{ kind: 'absent' }];
  const isRevision = (is: number): readonly Condition[] => [{ kind: 'revision', is: revision(is) }];
  const put = (sk: string, body: StoredItem['body'] = {}, when = absent): Extract<ItemWrite, { kind: 'put' }> => ({
    kind: 'put',
    key: key(sk),
    body,
    when,
  });
  const update = (
    sk: string,
    set: StoredItem['body'],
    when: readonly Condition[] = [],
  ): Extract<ItemWrite, { kind: 'update' }> => ({ kind: 'update', key: key(sk), set, when });
  const remove = (sk: string, when: readonly Condition[] = []): Extract<ItemWrite, { kind: 'delete' }> => ({
    kind: 'delete',
    key: key(sk),
    when,
  });
  const check = (sk: string, when: readonly Condition[]): ItemWrite => ({ kind: 'check', key: key(sk), when });
  const given = async (...writes: Extract<ItemWrite, { kind: 'put' }>[]): Promise<void> => {
    for (const write of writes) expect((await store.write(write)).ok).toBe(true);
  };
  const sortKeys = (page: QueryPage): string[] => page.items.map((item) => item.key.sk);
  const all = async (request: Omit<QueryRequest, 'table' | 'pk'>): Promise<string[]> => {
    const keys: string[] = [];
    let after = request.after;
    for (let pages = 0; pages < 50; pages++) {
      const page = await store.query({
        table: 'topology',
        pk: partition,
        ...request,
        ...(after === undefined ? {} : { after }),
      });
      keys.push(...sortKeys(page));
      if (page.next === null) return keys;
      after = page.next;
    }
    throw new Error('a query without end');
  };

  describe('put', () => {
    test('under `absent` makes revision 1, and fails with the item that is there', async () => {
      expect(await store.write(put('a', { n: 1 }))).toMatchObject({ ok: true, value: { revision: 1, body: { n: 1 } } });
      const again = await store.write(put('a', { n: 2 }));
      expect(again).toMatchObject({
        ok: false,
        error: { code: 'CONDITION_FAILED', index: 0, current: { key: key('a'), revision: 1, body: { n: 1 } } },
      });
    });

    test('under a revision replaces the whole item and raises the revision by one', async () => {
      await given(put('a', { n: 1, old: true }));
      await store.write(put('a', { n: 2 }, isRevision(1)));
      expect(await store.get(key('a'))).toMatchObject({ revision: 2, body: { n: 2 } });
      expect(Object.keys((await store.get(key('a')))!.body)).toEqual(['n']);
      expect((await store.write(put('a', { n: 3 }, isRevision(1)))).ok).toBe(false);
      expect((await store.write(put('b', { n: 3 }, isRevision(1)))).ok).toBe(false);
    });

    test('without `absent` or a revision is a bug, because the next revision would be a guess', async () => {
      await expect(store.write(put('a', {}, []))).rejects.toThrow(Bug);
      await expect(store.write(put('a', {}, [{ kind: 'equals', field: 'n', value: 1 }]))).rejects.toThrow(Bug);
    });

    test('names a new write id each time', async () => {
      await given(put('a'), put('b'));
      const ids = (await store.getMany([key('a'), key('b')])).map((item) => item?.writeId);
      expect(new Set(ids).size).toBe(2);
    });

    test('keeps every kind of value', async () => {
      const body = {
        text: 'ü\u{1F600}"\\\n\u0000',
        empty: '',
        zero: 0,
        negative: -1.5,
        large: Number.MAX_SAFE_INTEGER,
        small: 1e-7,
        yes: true,
        no: false,
        nothing: null,
        list: [1, 'two', null, [true], {}],
        map: { 'a.b': 1, '': 2, nested: { deep: [] } },
      };
      await given(put('a', body));
      expect(JSON.parse(JSON.stringify((await store.get(key('a')))?.body))).toEqual(body);
    });
  });

  describe('update', () => {
    test('sets fields, keeps the others, raises the revision', async () => {
      await given(put('a', { n: 1, kept: 'x' }));
      const updated = await store.write(update('a', { n: 2, added: [1] }));
      expect(updated).toMatchObject({ ok: true, value: { revision: 2, body: { n: 2, kept: 'x', added: [1] } } });
      expect(await store.get(key('a'))).toMatchObject({ revision: 2, body: { n: 2, kept: 'x', added: [1] } });
    });

    test('of an item that is not there fails and makes none', async () => {
      expect(await store.write(update('a', { n: 1 }))).toMatchObject({ ok: false, error: { current: null } });
      expect(await store.get(key('a'))).toBeNull();
    });

    test('of fields with awkward names', async () => {
      await given(put('a', { 'a.b': 1, name: 'x', '#x': 1 }));
      const updated = await store.write(
        update('a', { 'a.b': 2, size: 3, ':y': 4 }, [{ kind: 'equals', field: '#x', value: 1 }]),
      );
      expect(updated).toMatchObject({ ok: true, value: { body: { 'a.b': 2, name: 'x', size: 3, ':y': 4 } } });
    });

    test('of entries sets and removes them, keeps their neighbours, raises the revision', async () => {
      await given(put('a', { m: { x: 1, y: 2, 'a.b': 3 }, k: { x: 9 }, n: 1 }));
      const updated = await store.write({
        ...update('a', { n: 2 }, [{ kind: 'equals', field: ['m', 'x'], value: 1 }]),
        entries: [
          { kind: 'set', field: 'm', entry: 'x', value: 5 },
          { kind: 'set', field: 'm', entry: 'new', value: 'v' },
          { kind: 'remove', field: 'm', entry: 'a.b' },
          { kind: 'remove', field: 'k', entry: 'none' },
        ],
      });
      expect(updated).toMatchObject({ ok: true, value: { revision: 2 } });
      expect((await store.get(key('a')))?.body).toEqual({ m: { x: 5, y: 2, new: 'v' }, k: { x: 9 }, n: 2 });
    });

    test('of entries fails where the field holds no map, and changes nothing, in a transaction too', async () => {
      await given(put('a', { n: 1, list: [1] }), put('b', { m: {} }));
      for (const field of ['n', 'list', 'missing'])
        for (const kind of ['set', 'remove'] as const) {
          const write = { ...update('a', {}), entries: [{ kind, field, entry: 'x', value: 1 }] };
          expect(await store.write(write)).toMatchObject({ ok: false, error: { current: { revision: 1 } } });
          const both = await store.transact([
            { ...update('b', {}), entries: [{ ...write.entries[0]!, field: 'm' }] },
            write,
          ]);
          expect(both).toMatchObject({ ok: false, error: { index: 1 } });
        }
      expect(await store.get(key('b'))).toMatchObject({ revision: 1, body: { m: {} } });
    });

    test('of an entry and its field, or of one entry twice, is a bug', async () => {
      await given(put('a', { m: {} }));
      const set = { kind: 'set', field: 'm', entry: 'x', value: 1 } as const;
      await expect(store.write({ ...update('a', { m: {} }), entries: [set] })).rejects.toThrow(Bug);
      await expect(store.write({ ...update('a', {}), entries: [set, set] })).rejects.toThrow(Bug);
      await expect(store.write({ ...update('a', {}), entries: [{ ...set, field: 'rev' }] })).rejects.toThrow(Bug);
    });

    test('may not touch what the store itself writes', async () => {
      await given(put('a'));
      for (const field of ['pk', 'sk', 'rev', 'w'])
        await expect(store.write(update('a', { [field]: 1 }))).rejects.toThrow(Bug);
    });
  });

  describe('delete', () => {
    test('removes the item; without conditions it does not mind a missing one', async () => {
      await given(put('a'));
      expect(await store.write(remove('a', isRevision(1)))).toEqual({ ok: true, value: null });
      expect(await store.get(key('a'))).toBeNull();
      expect(await store.write(remove('a'))).toEqual({ ok: true, value: null });
      expect(await store.write(remove('a', [{ kind: 'present' }]))).toMatchObject({
        ok: false,
        error: { current: null },
      });
    });

    test('under a condition that fails keeps the item and shows it', async () => {
      await given(put('a', { n: 1 }));
      const failed = await store.write(remove('a', isRevision(7)));
      expect(failed).toMatchObject({ ok: false, error: { index: 0, current: { revision: 1, body: { n: 1 } } } });
      expect(await store.get(key('a'))).not.toBeNull();
    });
  });

  describe('conditions', () => {
    const body = { n: 5, text: 'x', yes: true, none: null, map: { 'node.1': 3, other: 'y' }, list: [1] };
    const cases: [string, Condition, boolean][] = [
      ['absent', { kind: 'absent' }, false],
      ['present', { kind: 'present' }, true],
      ['revision is', { kind: 'revision', is: revision(1) }, true],
      ['revision is not', { kind: 'revision', is: revision(2) }, false],
      ['equals number', { kind: 'equals', field: 'n', value: 5 }, true],
      ['equals another number', { kind: 'equals', field: 'n', value: 6 }, false],
      ['equals a number of another type', { kind: 'equals', field: 'n', value: '5' }, false],
      ['equals text', { kind: 'equals', field: 'text', value: 'x' }, true],
      ['equals boolean', { kind: 'equals', field: 'yes', value: true }, true],
      ['equals null', { kind: 'equals', field: 'none', value: null }, true],
      ['null where there is a value', { kind: 'equals', field: 'n', value: null }, false],
      ['null where there is no field', { kind: 'equals', field: 'missing', value: null }, false],
      ['equals a map entry', { kind: 'equals', field: ['map', 'node.1'], value: 3 }, true],
      ['equals a missing map entry', { kind: 'equals', field: ['map', 'node.2'], value: 3 }, false],
      ['an entry of a missing map', { kind: 'equals', field: ['nomap', 'x'], value: 3 }, false],
      ['an entry of what is no map', { kind: 'equals', field: ['text', 'length'], value: 1 }, false],
      ['an entry of a list', { kind: 'equals', field: ['list', '0'], value: 1 }, false],
      ['below', { kind: 'below', field: 'n', value: 6 }, true],
      ['not below itself', { kind: 'below', field: 'n', value: 5 }, false],
      ['below of text', { kind: 'below', field: 'text', value: 6 }, false],
      ['below of a missing field', { kind: 'below', field: 'missing', value: 6 }, false],
      ['below of a map entry', { kind: 'below', field: ['map', 'node.1'], value: 4 }, true],
      ['a field named as in prototypes', { kind: 'equals', field: 'constructor', value: 1 }, false],
    ];
    test.each(cases)('%s', async (_name, condition, expected) => {
      await given(put('a', body));
      expect((await store.write(update('a', { touched: true }, [condition]))).ok).toBe(expected);
    });

    test('all of several must hold', async () => {
      await given(put('a', body));
      const both: Condition[] = [
        { kind: 'equals', field: 'n', value: 5 },
        { kind: 'equals', field: 'text', value: 'z' },
      ];
      expect((await store.write(update('a', {}, both))).ok).toBe(false);
    });
  });

  describe('a transaction', () => {
    test('commits all of its writes, over several tables', async () => {
      await given(put('gone'), put('raised', { n: 1 }), put('checked', { n: 1 }));
      const done = await store.transact([
        put('new', { n: 9 }),
        remove('gone', isRevision(1)),
        update('raised', { n: 2 }, isRevision(1)),
        check('checked', [{ kind: 'equals', field: 'n', value: 1 }]),
        { kind: 'put', key: key('new', 'events'), body: {}, when: absent },
      ]);
      expect(done.ok).toBe(true);
      const items = await store.getSnapshot([
        key('new'),
        key('gone'),
        key('raised'),
        key('checked'),
        key('new', 'events'),
      ]);
      expect(items.map((item) => item?.revision ?? null)).toEqual([1, null, 2, 1, 1]);
    });

    test('with one failing condition does nothing, and tells which write and what is there', async () => {
      await given(put('a', { n: 1 }), put('b', { n: 2 }));
      const failed = await store.transact([
        put('c'),
        update('a', { n: 10 }),
        update('b', { n: 20 }, [{ kind: 'equals', field: 'n', value: 3 }]),
      ]);
      expect(failed).toMatchObject({ ok: false, error: { index: 2, current: { key: key('b'), body: { n: 2 } } } });
      expect((await store.get(key('a')))?.body['n']).toBe(1);
      expect(await store.get(key('c'))).toBeNull();
    });

    test('whose update finds no item, or whose check fails, does nothing', async () => {
      await given(put('a'));
      expect(await store.transact([put('c'), update('missing', {})])).toMatchObject({
        ok: false,
        error: { index: 1, current: null },
      });
      expect(await store.transact([put('c'), check('a', absent)])).toMatchObject({ ok: false, error: { index: 1 } });
      expect(await store.get(key('c'))).toBeNull();
    });

    test('of two that race for one item lets one through', async () => {
      await given(put('a'));
      const results = await Promise.all(
        [1, 2, 3, 4].map((n) => store.transact([update('a', { n }, isRevision(1)), put(`by-${n}`)])),
      );
      expect(results.filter((result) => result.ok)).toHaveLength(1);
      expect((await store.get(key('a')))?.revision).toBe(2);
    });

    test('holds 100 items, not 101, not none, and no item twice', async () => {
      const many = (count: number): ItemWrite[] => Array.from({ length: count }, (_, index) => put(`many-${index}`));
      await expect(store.transact(many(101))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      await expect(store.transact([])).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      await expect(store.transact([put('x'), remove('x')])).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      expect((await store.transact(many(100))).ok).toBe(true);
    });

    test('holds 4 MB', async () => {
      const big = 'x'.repeat(390 * 1024);
      const writes = (count: number): ItemWrite[] =>
        Array.from({ length: count }, (_, index) => put(`big-${index}`, { big }));
      await expect(store.transact(writes(11))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      expect((await store.transact(writes(10))).ok).toBe(true);
    });
  });

  describe('limits', () => {
    test('an item has at most 400 KB, also after an update', async () => {
      await expect(store.write(put('a', { big: 'x'.repeat(400 * 1024) }))).rejects.toMatchObject({
        code: 'LIMIT_EXCEEDED',
      });
      await given(put('a', { one: 'x'.repeat(200 * 1024) }));
      await expect(store.write(update('a', { two: 'x'.repeat(210 * 1024) }))).rejects.toMatchObject({
        code: 'LIMIT_EXCEEDED',
      });
      expect((await store.get(key('a')))?.revision).toBe(1);
    });

    test('a sort key has 1 to 1,024 bytes of UTF-8', async () => {
      await given(put('\u{1F600}'.repeat(256)));
      await expect(store.write(put('\u{1F600}'.repeat(256) + 'x'))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      await expect(store.get(key(''))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    });

    test('a read has at most 100 keys, a query 1 to 1,000 items', async () => {
      const keys = Array.from({ length: 101 }, (_, index) => key(`k${index}`));
      await expect(store.getMany(keys)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      await expect(store.getSnapshot(keys)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      for (const limit of [0, 1001, 1.5])
        await expect(store.query({ table: 'topology', pk: partition, order: 'forward', limit })).rejects.toMatchObject({
          code: 'LIMIT_EXCEEDED',
        });
    });

    test('a number that JavaScript does not hold exactly is a bug', async () => {
      for (const n of [NaN, Infinity, 2 ** 53]) await expect(store.write(put('a', { n }))).rejects.toThrow(Bug);
    });
  });

  describe('reads of several keys', () => {
    test('answer in the order of the keys; missing ones are null, repeated ones repeat', async () => {
      await given(put('a', { n: 1 }), put('b', { n: 2 }));
      const keys = [key('b'), key('missing'), key('a'), key('b'), key('a', 'events')];
      for (const items of [await store.getMany(keys), await store.getSnapshot(keys)])
        expect(items.map((item) => item?.body['n'] ?? null)).toEqual([2, null, 1, 2, null]);
      expect(await store.getMany([])).toEqual([]);
      expect(await store.getSnapshot([])).toEqual([]);
    });

    test('take 100 keys at once', async () => {
      await store.transact(Array.from({ length: 100 }, (_, index) => put(`k${index}`, { index })));
      const keys = Array.from({ length: 100 }, (_, index) => key(`k${99 - index}`));
      for (const items of [await store.getMany(keys), await store.getSnapshot(keys)])
        expect(items.map((item) => item?.body['index'])).toEqual(Array.from({ length: 100 }, (_, index) => 99 - index));
    });
  });

  describe('a query', () => {
    test('orders sort keys by UTF-8 bytes, astral characters last', async () => {
      const ordered = ['A', 'K#', 'K#a', 'K#a\u0000', 'K#ab', 'K#é', 'K#\u{FF5E}', 'K#\u{1F600}', 'K#\u{10FFFF}', 'K$'];
      await given(...[...ordered].reverse().map((sk) => put(sk)));
      expect(await all({ order: 'forward', limit: 100 })).toEqual(ordered);
      expect(await all({ order: 'backward', limit: 100 })).toEqual([...ordered].reverse());
      expect(await all({ order: 'backward', limit: 1, from: 'A', to: 'K#\u{1F5FF}', after: 'K#\u{1F5FF}' })).toEqual(
        ordered.slice(0, 7).reverse(),
      );
    });

    test('keeps to its partition, its table and its inclusive bounds', async () => {
      await given(put('a'), put('b'), put('c'), put('d'));
      await store.write({ kind: 'put', key: { ...key('b'), pk: `${partition}x` }, body: {}, when: absent });
      await store.write({ kind: 'put', key: key('b', 'events'), body: {}, when: absent });
      expect(await all({ order: 'forward', limit: 10, from: 'b', to: 'c' })).toEqual(['b', 'c']);
      expect(await all({ order: 'forward', limit: 10, from: 'bb' })).toEqual(['c', 'd']);
      expect(await all({ order: 'backward', limit: 10, to: 'bb' })).toEqual(['b', 'a']);
      expect(await all({ order: 'forward', limit: 10, from: 'c', to: 'b' })).toEqual([]);
    });

    test('goes on after a sort key, whether or not it is there or inside the bounds', async () => {
      await given(put('a'), put('b'), put('c'), put('d'));
      expect(await all({ order: 'forward', limit: 10, after: 'b' })).toEqual(['c', 'd']);
      expect(await all({ order: 'backward', limit: 10, after: 'b' })).toEqual(['a']);
      expect(await all({ order: 'forward', limit: 10, after: 'bb' })).toEqual(['c', 'd']);
      expect(await all({ order: 'forward', limit: 10, from: 'c', after: 'a' })).toEqual(['c', 'd']);
      expect(await all({ order: 'forward', limit: 10, to: 'b', after: 'c' })).toEqual([]);
      expect(await all({ order: 'backward', limit: 10, to: 'b', after: 'c' })).toEqual(['b', 'a']);
      expect(await all({ order: 'backward', limit: 10, from: 'c', after: 'b' })).toEqual([]);
    });

    test('pages by limit', async () => {
      await given(put('a'), put('b'), put('c'));
      const first = await store.query({ table: 'topology', pk: partition, order: 'forward', limit: 2 });
      expect([sortKeys(first), first.next]).toEqual([['a', 'b'], 'b']);
      const second = await store.query({ table: 'topology', pk: partition, order: 'forward', limit: 2, after: 'b' });
      expect([sortKeys(second), second.next]).toEqual([['c'], null]);
    });

    test('answers less than the limit when it has read 1 MB, and says where to go on', async () => {
      const big = 'x'.repeat(300 * 1024);
      await given(put('a', { big }), put('b', { big }), put('c', { big }), put('d', { big }), put('e', { big }));
      const first = await store.query({ table: 'topology', pk: partition, order: 'forward', limit: 10 });
      expect(first.items.length).toBeLessThan(5);
      expect(first.next).toBe(sortKeys(first).at(-1));
      expect(await all({ order: 'forward', limit: 10 })).toEqual(['a', 'b', 'c', 'd', 'e']);
    });
  });
}
