import { BoundedMap } from '../../shared/domain/bounded-map.ts';

const ofThree = (...keys: readonly string[]): BoundedMap<string, string> => {
  const map = new BoundedMap<string, string>(3);
  for (const key of keys) map.set(key, `value of ${key}`);
  return map;
};
const known = (map: BoundedMap<string, string>, keys: string): string =>
  [...keys].filter((key) => map.get(key) === `value of ${key}`).join('');

test.each([
  ['holds what it was given', 'abc', 'abc'],
  ['holds nothing else', 'a', 'a'],
  ['forgets what came first when one more comes', 'abcd', 'bcd'],
  ['forgets one for each that comes', 'abcdef', 'def'],
  ['takes an entry again without forgetting another', 'abcba', 'abc'],
  ['does not put off the turn of what comes again', 'abcad', 'bcd'],
])('%s', (_what, given, held) => {
  expect(known(ofThree(...given), 'abcdef')).toBe(held);
});

test('an entry that comes again has its new value', () => {
  const map = ofThree('a', 'b');
  map.set('a', 'another');
  expect([map.get('a'), map.get('b')]).toEqual(['another', 'value of b']);
});

test('what is deleted makes room', () => {
  const map = ofThree('a', 'b', 'c');
  map.delete('b');
  map.delete('not there');
  expect(known(map, 'abc')).toBe('ac');
  map.set('d', 'value of d');
  expect(known(map, 'abcd')).toBe('acd');
});

test('cleared, it holds nothing, and takes as many again', () => {
  const map = ofThree('a', 'b', 'c');
  map.clear();
  expect(known(map, 'abc')).toBe('');
  for (const key of 'defg') map.set(key, `value of ${key}`);
  expect(known(map, 'abcdefg')).toBe('efg');
});
