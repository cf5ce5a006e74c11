import { readdirSync, readFileSync } from 'node:fs';
import * as z from 'zod';
import { Bug } from '../../shared/domain/result.ts';
import { createCodec } from '../../shared/store/codec.ts';

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

  test('a reader takes one version ahead and leaves out what it does not know', () => {
    expect(before.decode(now.encode({ name: 'a', old: 'x', added: 7 }))).toEqual({ name: 'a', old: 'x' });
    expect(now.decode(after.encode({ name: 'a', added: 7 }))).toEqual({ name: 'a', old: '', added: 7 });
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

  test('no stored schema refuses unknown fields', () => {
    const folder = new URL('../../shared/store/codecs/', import.meta.url);
    const files = readdirSync(folder);
    expect(files.length).toBeGreaterThan(2);
    const strict = files.filter((file) => /strictObject|\.strict\(/.test(readFileSync(new URL(file, folder), 'utf8')));
    expect(strict).toEqual([]);
  });
});
