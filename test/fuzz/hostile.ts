import type { SeededRandom } from '../simulation/random.ts';

/** Values that no caller should send, and text that JSON.stringify can't write. */

/** Stands in a body for text that goes in as it is: numbers beyond any range, names given twice. */
export class RawJson {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** JSON text of a value that may hold `RawJson`; undefined fields are left out. */
export function jsonText(value: unknown): string {
  if (value instanceof RawJson) return value.text;
  if (Array.isArray(value)) return `[${value.map((item) => jsonText(item ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${jsonText(field)}`).join(',')}}`;
}

/** Short text with everything that breaks parsers, stores and logs. */
export const HOSTILE_TEXTS: readonly string[] = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '\udc00\ud800',
  '\u202eright-to-left',
  '\u0645\u0631\u062d\u0628\u0627',
  '\ufeffbom',
  '\u00e9 \u0065\u0301',
  '\u{1f98a}\u200d\u{1f525}',
  '\r\nX-Injected: 1',
  "'; DROP TABLE nodes;--",
  '<script>alert(1)</script>',
  '${jndi:ldap://x}',
  '{{7*7}}',
  '../../etc/passwd',
  '..',
  '.',
  '/',
  '\\',
  '%',
  '%00',
  '%2e%2e%2f',
  '#',
  '?',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  'null',
  'undefined',
  'true',
  'NaN',
  'Infinity',
  '-0',
  '0x10',
  '1e3',
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775809',
  '2026-11-21T00:00:00Z',
  '+275760-09-13T00:00:00.000Z',
  'register',
  'rebalance',
  '|',
  'P#',
  'K#\uffff',
  '~',
  '\uffff',
  '\u{10ffff}',
];

const NUMBER_TEXTS: readonly string[] = [
  '0',
  '-0',
  '-1',
  '0.5',
  '1.0',
  '1e-7',
  '1E5',
  '1e308',
  '1e400',
  '-1e400',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '123456789012345678901234567890',
];

/** Characters of an overlong text; one in some hundred has enough to pass the limit of a whole body. */
const LONG_CHARS = [300, 5_000, 100_000];
const BEYOND_BODY_CHARS = 5 * 1024 * 1024 + 1;

export function hostileText(random: SeededRandom): string {
  if (random.chance(0.8)) return random.pick(HOSTILE_TEXTS);
  if (random.chance(0.01)) return 'x'.repeat(BEYOND_BODY_CHARS);
  return random.pick(['a', 'ä', '\u{1f98a}', '\u0000', ' ']).repeat(random.pick(LONG_CHARS));
}

const nested = (depth: number, open: string, close: string): RawJson =>
  new RawJson(open.repeat(depth) + '1' + close.repeat(depth));

/** Any value of any JSON type, the awkward ones first. */
export function hostileValue(random: SeededRandom): unknown {
  switch (random.below(12)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
    case 3:
      return new RawJson(random.pick(NUMBER_TEXTS));
    case 4:
    case 5:
    case 6:
      return hostileText(random);
    case 7:
      return random.pick<unknown>([[], [null], [[]], ['a', 'a'], [{}]]);
    case 8:
      return random.pick<unknown>([{}, { toString: 1 }, { length: 1 }, { then: null }, { '': '' }]);
    case 9:
      return new RawJson('{"__proto__":{"polluted":true}}');
    case 10:
      return random.chance(0.5)
        ? nested(random.pick([15, 16, 17, 200, 5_000]), '[', ']')
        : nested(random.pick([15, 16, 17, 200, 5_000]), '{"a":', '}');
    default:
      return Array.from({ length: random.pick([11, 101, 1_001, 10_001]) }, () => 'k');
  }
}

/** Bodies that are no JSON, or not the JSON that was meant. */
export function brokenText(random: SeededRandom, good: string): string {
  const at = random.below(good.length + 1);
  switch (random.below(9)) {
    case 0:
      return good.slice(0, at);
    case 1:
      return good.slice(at);
    case 2:
      return `${good.slice(0, at)}${random.pick(['"', '{', '}', '[', ']', ',', ':', '\u0000', '\\', '\ud800', '\n'])}${good.slice(at)}`;
    case 3:
      return `${good}${good}`;
    case 4:
      return `\ufeff${good}`;
    case 5:
      return `[${good}]`;
    case 6:
      return random.pick([
        'null',
        '[]',
        '"x"',
        '1',
        'true',
        'undefined',
        'NaN',
        "{'a':1}",
        '{a:1}',
        '<xml/>',
        'a=1&b=2',
      ]);
    case 7:
      return ' '.repeat(random.pick([1, 200, 100_000])) + good;
    default:
      return good.replaceAll('"', "'");
  }
}
