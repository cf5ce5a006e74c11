import { readdirSync, readFileSync } from 'node:fs';
import * as z from 'zod';
import { Bug } from '../../shared/domain/result.ts';
import { createCodec, TTL_FIELD } from '../../shared/store/codec.ts';
import { entities } from '../../shared/store/entities.ts';

/**
 * Two neighbouring releases live at once during a deployment (docs/upgrading.md): three releases of one kind of record, of
 * which the middle one adds a field and the last one no longer knows another.
 */
const before = createCodec('thing', 1, z.object({ name: z.string(), old: z.string() }));
const now = createCodec(
  'thing',
  2,
  z.object({ name: z.string(), old: z.string().default(''), added: z.int().default(0) }),
);
const after = createCodec('thing', 3, z.object({ name: z.string(), added: z.int() }));

describe('schema versions of records', () => {
  test('each record says in which version it was written', () => {
    expect(before.encode({ name: 'a', old: 'x' })).toEqual({ v: 1, name: 'a', old: 'x' });
    expect(now.encode({ name: 'a', old: 'x', added: 7 })).toEqual({ v: 2, name: 'a', old: 'x', added: 7 });
  });

  test('a reader takes its own version and every earlier one, whose missing fields get their defaults', () => {
    expect(now.decode(now.encode({ name: 'a', old: 'x', added: 7 }))).toEqual({ name: 'a', old: 'x', added: 7 });
    expect(now.decode(before.encode({ name: 'a', old: 'x' }))).toEqual({ name: 'a', old: 'x', added: 0 });
  });

  test('a reader takes one version ahead and shows nothing of what it does not know', () => {
    expect(Object.entries(before.decode(now.encode({ name: 'a', old: 'x', added: 7 })))).toEqual([
      ['name', 'a'],
      ['old', 'x'],
    ]);
    expect(now.decode(after.encode({ name: 'a', added: 7 }))).toMatchObject({ name: 'a', old: '', added: 7 });
  });

  test.each([
    ['two versions ahead', { v: 3, name: 'a', old: 'x' }],
    ['no version', { name: 'a', old: 'x' }],
    ['version 0', { v: 0, name: 'a', old: 'x' }],
    ['a version that is no number', { v: '1', name: 'a', old: 'x' }],
  ])('%s is refused by name, never guessed at', (_what, body) => {
    expect(() => before.decode(body)).toThrow(Bug);
    expect(() => before.decode(body)).toThrow(/a thing record has version .*; this release reads 1 to 2/);
  });

  test('an update of fields by the earlier release keeps version and fields of the later one', () => {
    const written = now.encode({ name: 'a', old: 'x', added: 7 });
    const updated = { ...written, ...before.encodeFields({ old: 'y' }) };
    expect(now.decode(updated)).toEqual({ name: 'a', old: 'y', added: 7 });
    expect(updated['v']).toBe(2);
  });

  test('read, changed and put back by the earlier release, a record keeps version and fields of the later one', () => {
    const read = before.decode(now.encode({ name: 'a', old: 'x', added: 7 }));
    expect(JSON.stringify(read)).toBe('{"name":"a","old":"x"}');
    expect(before.encode({ ...read, old: 'y' })).toEqual({ v: 2, name: 'a', old: 'y', added: 7 });
  });

  test('a field that the later release gave to a record of the earlier version stays too', () => {
    // An update of single fields does not raise the version.
    const touched = { ...before.encode({ name: 'a', old: 'x' }), ...now.encodeFields({ added: 9 }) };
    const back = before.encode({ ...before.decode(touched), old: 'y' });
    expect(back).toEqual({ v: 1, name: 'a', old: 'y', added: 9 });
  });

  test('a record made anew is of the earlier release, whatever stood there before', () => {
    before.decode(now.encode({ name: 'a', old: 'x', added: 7 }));
    expect(before.encode({ name: 'a', old: 'x' })).toEqual({ v: 1, name: 'a', old: 'x' });
  });

  test('a field that the later release took away comes back from the earlier one, and the later one lives with it', () => {
    const back = now.encode({ ...now.decode(after.encode({ name: 'a', added: 7 })), added: 8 });
    expect(back).toEqual({ v: 3, name: 'a', old: '', added: 8 });
    expect(after.encode({ ...after.decode(back), added: 9 })).toEqual({ v: 3, name: 'a', old: '', added: 9 });
  });

  test('unknown fields of nested objects stay with the object that they belong to, and go with it', () => {
    const list = (entry: z.ZodObject) => z.object({ list: z.array(entry), one: entry.nullable() });
    const old = createCodec('list', 1, list(z.object({ id: z.string(), n: z.int() })));
    const next = createCodec('list', 2, list(z.object({ id: z.string(), n: z.int(), weight: z.int() })));
    const item = (id: string, weight: number) => ({ id, n: 1, weight });
    const read = old.decode(next.encode({ list: [item('a', 1), item('b', 2), item('c', 3)], one: item('d', 4) }));
    const changed = {
      ...read,
      list: [{ id: 'new', n: 1 }, ...read.list.filter(({ id }) => id !== 'a').map((entry) => ({ ...entry, n: 2 }))],
    };
    expect(old.encode(changed)).toEqual({
      v: 2,
      list: [
        { id: 'new', n: 1 },
        { id: 'b', n: 2, weight: 2 },
        { id: 'c', n: 2, weight: 3 },
      ],
      one: { id: 'd', n: 1, weight: 4 },
    });
    expect(old.encodeFields({ one: { ...read.one, n: 5 } })).toEqual({ one: { id: 'd', n: 5, weight: 4 } });
    expect(old.encodeFields({ one: null })).toEqual({ one: null });
  });

  test('no stored schema refuses unknown fields', () => {
    const folder = new URL('../../shared/store/codecs/', import.meta.url);
    const files = readdirSync(folder);
    expect(files.length).toBeGreaterThan(2);
    const strict = files.filter((file) => /strictObject|\.strict\(/.test(readFileSync(new URL(file, folder), 'utf8')));
    expect(strict).toEqual([]);
  });
});

test('a record that nobody needs after some time says from when, in seconds, and reads as if it did not', () => {
  const value = {
    scope: 'admin:test',
    key: 'k',
    requestHash: 'h',
    answer: null,
    createdAtMs: 1_000,
    expiresAtMs: 86_401_500,
  };
  const body = entities.idempotency.codec.encode(value);
  expect(body[TTL_FIELD]).toBe(86_402);
  expect(entities.idempotency.codec.decode(body)).toEqual(value);
  expect(
    entities.audit.codec.encode({ entity: 'e', number: 1, action: 'A', principal: 'p', atMs: 1, detail: null }),
  ).not.toHaveProperty(TTL_FIELD);
});
