import { encodedKey, pageId, tableId } from '../../shared/domain/ids.ts';
import type { EncodedKey } from '../../shared/domain/ids.ts';
import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import type { PageHeader } from '../../shared/domain/records.ts';
import { covers, RootCache } from '../../shared/store/directory-root.ts';

/** What a process remembers of the pages of tables: a hint, but one that must never name a page for a key outside of its span. */
const CITIES = tableId('cities');
const PEOPLE = tableId('people');

const key = (text: string): EncodedKey => (text === '' ? KEY_SPACE_START : encodedKey(text));
const header = (page: string, low: string, high: string | null, over: Partial<PageHeader> = {}): PageHeader => ({
  page: pageId(page),
  tableId: CITIES,
  low: key(low),
  high: high === null ? null : key(high),
  generation: 1,
  count: 1,
  right: null,
  ...over,
});
/** A cache that has read these headers, in this order. */
const knowing = (...headers: readonly PageHeader[]): RootCache => {
  const cache = new RootCache();
  for (const each of headers) cache.learn(each);
  return cache;
};
/** `page low..high` of the span that the cache answers with for each key; null where it knows none. */
const spansAt = (cache: RootCache, keys: readonly string[]): (string | null)[] =>
  keys.map((text) => {
    const span = cache.find(CITIES, key(text));
    return span === null ? null : `${span.page} ${span.low}..${span.high ?? ''}`;
  });

test('a span holds its low key and not its high one; without a high one it goes to the end', () => {
  const bounded = { low: key('c'), high: key('m') };
  expect(['b', 'c', 'd', 'lz', 'm', 'n'].filter((text) => covers(bounded, key(text)))).toEqual(['c', 'd', 'lz']);
  expect(['b', 'c', 'zz'].filter((text) => covers({ low: key('c'), high: null }, key(text)))).toEqual(['c', 'zz']);
});

describe('what is known of a page', () => {
  test('answers for the keys in it, and for no key of a gap or of another table', () => {
    const cache = knowing(header('p1', 'c', 'f'), header('p2', 'm', 'p'), header('p3', 't', null));
    expect(spansAt(cache, ['b', 'c', 'e', 'f', 'l', 'm', 'o', 'p', 's', 't', 'z'])).toEqual([
      null,
      'p1 c..f',
      'p1 c..f',
      null,
      null,
      'p2 m..p',
      'p2 m..p',
      null,
      null,
      'p3 t..',
      'p3 t..',
    ]);
    expect(cache.find(PEOPLE, key('d'))).toBeNull();
  });

  test('gives way to what was read later: a split of the page', () => {
    const cache = knowing(header('p1', '', null), header('p2', 'm', null));
    expect(spansAt(cache, ['a', 'l', 'm', 'z'])).toEqual(['p1 ..m', 'p1 ..m', 'p2 m..', 'p2 m..']);
    cache.learn(header('p3', 'f', 'm'));
    expect(spansAt(cache, ['a', 'f', 'm'])).toEqual(['p1 ..f', 'p3 f..m', 'p2 m..']);
  });

  test('gives way to what was read later: a merge of pages, a border that moved', () => {
    const cache = knowing(header('p1', '', 'f'), header('p2', 'f', 'm'), header('p3', 'm', null));
    cache.learn(header('p1', '', 'm'));
    expect(spansAt(cache, ['a', 'f', 'l', 'm'])).toEqual(['p1 ..m', 'p1 ..m', 'p1 ..m', 'p3 m..']);
    cache.learn(header('p1', '', 'p'));
    expect(spansAt(cache, ['m', 'o', 'p', 'z'])).toEqual(['p1 ..p', 'p1 ..p', null, null]);
    cache.learn(header('p1', '', null));
    expect(spansAt(cache, ['a', 'z'])).toEqual(['p1 ..', 'p1 ..']);
  });

  test('stays as it is where a later header only touches it, or lies apart', () => {
    const cache = knowing(header('p1', 'a', 'c'), header('p2', 'm', 'p'));
    cache.learn(header('p3', 'p', 't'));
    cache.learn(header('p4', 'f', 'm'));
    expect(spansAt(cache, ['b', 'd', 'g', 'n', 'q', 't'])).toEqual([
      'p1 a..c',
      null,
      'p4 f..m',
      'p2 m..p',
      'p3 p..t',
      null,
    ]);
  });

  test('of many pages, read in any order, is found by binary search', () => {
    const two = (index: number): string => String(index).padStart(2, '0');
    const order = Array.from({ length: 50 }, (_, index) => (index * 17) % 50);
    const cache = knowing(...order.map((index) => header(`p${index}`, two(index), two(index + 1))));
    for (let index = 0; index < 50; index++)
      for (const text of [two(index), `${two(index)}x`])
        expect(spansAt(cache, [text])).toEqual([`p${index} ${two(index)}..${two(index + 1)}`]);
  });
});

test('an unknown key lies in the gap after the nearest known page below it', () => {
  const cache = knowing(header('p1', 'c', 'f'), header('p2', 'm', 'p'));
  expect(['b', 'c', 'g', 'm', 'z'].map((text) => cache.gapStart(CITIES, key(text)))).toEqual(['', 'c', 'c', 'm', 'm']);
  expect(cache.gapStart(PEOPLE, key('z'))).toBe(KEY_SPACE_START);
});

describe('a page that is gone', () => {
  test('is forgotten alone', () => {
    const cache = knowing(header('p1', '', 'f'), header('p2', 'f', 'm'), header('p3', 'm', null));
    cache.forget(CITIES, pageId('p2'));
    expect(spansAt(cache, ['a', 'f', 'm'])).toEqual(['p1 ..f', null, 'p3 m..']);
    cache.forget(CITIES, pageId('p1'));
    expect(spansAt(cache, ['a', 'f', 'm'])).toEqual([null, null, 'p3 m..']);
  });

  test('and was not known takes nothing with it', () => {
    const cache = knowing(header('p1', '', 'f'), header('p2', 'f', null));
    cache.forget(CITIES, pageId('p9'));
    cache.forget(PEOPLE, pageId('p1'));
    expect(spansAt(cache, ['a', 'f'])).toEqual(['p1 ..f', 'p2 f..']);
  });

  test('of a table that is known by it alone: later pages of the table are learned as before', () => {
    const cache = knowing(header('p1', '', null));
    cache.forget(CITIES, pageId('p1'));
    expect(spansAt(cache, ['a'])).toEqual([null]);
    cache.learn(header('p2', '', null));
    expect(spansAt(cache, ['a'])).toEqual(['p2 ..']);
  });
});

describe('the bound of the cache', () => {
  const full = (spansMax: number): RootCache => {
    const cache = new RootCache(spansMax);
    for (let index = 0; index < spansMax; index++) cache.learn(other(index));
    return cache;
  };
  const other = (index: number): PageHeader => header('p', `k${index}`, `k${index + 1}`, { tableId: PEOPLE });
  const knowsOther = (cache: RootCache, index: number): boolean => cache.find(PEOPLE, key(`k${index}`)) !== null;

  test('holds as many spans as it says; with one more it starts anew, with that one', () => {
    const cache = full(5);
    expect([0, 1, 2, 3, 4].map((index) => knowsOther(cache, index))).toEqual([true, true, true, true, true]);
    cache.learn(header('p1', '', null));
    expect([0, 4].map((index) => knowsOther(cache, index))).toEqual([false, false]);
    expect(spansAt(cache, ['a'])).toEqual(['p1 ..']);
    // Begun anew it holds as many again.
    for (let index = 0; index < 4; index++) cache.learn(other(index));
    expect([knowsOther(cache, 0), knowsOther(cache, 3), ...spansAt(cache, ['a'])]).toEqual([true, true, 'p1 ..']);
    cache.learn(other(4));
    expect([knowsOther(cache, 0), knowsOther(cache, 4), ...spansAt(cache, ['a'])]).toEqual([false, true, null]);
  });

  test('counts spans, not headers that were read: what is read again or forgotten takes no room', () => {
    const cache = new RootCache(4);
    cache.learn(other(0));
    for (let round = 0; round < 10; round++) {
      for (const split of ['k', 'p']) {
        cache.learn(header('p1', '', split));
        cache.learn(header('p2', split, null));
        cache.learn(header('p1', '', null));
      }
      cache.forget(CITIES, pageId('p1'));
      cache.forget(CITIES, pageId('p1'));
    }
    expect(knowsOther(cache, 0)).toBe(true);
    for (let index = 1; index < 4; index++) cache.learn(other(index));
    expect([knowsOther(cache, 0), knowsOther(cache, 3)]).toEqual([true, true]);
    cache.learn(other(4));
    expect([knowsOther(cache, 0), knowsOther(cache, 4)]).toEqual([false, true]);
  });
});
