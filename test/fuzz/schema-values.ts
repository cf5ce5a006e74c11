import fc from 'fast-check';
import type * as z from 'zod';
import type { SeededRandom } from '../simulation/random.ts';
import { hostileText, hostileValue, RawJson } from './hostile.ts';

/**
 * Values of a zod schema, made by walking its tree: what it takes, with its bounds, or, at one place that `sabotage` chooses,
 * what it should refuse. A kind of schema that is not known here is an error: a contract that uses one is not fuzzed in silence.
 */
export interface Draw {
  readonly random: SeededRandom;
  /** A value that the world knows for a field of this name; undefined: none, or a made-up one is wanted. */
  readonly known: (field: string) => unknown;
  /** Nodes of the tree that are still passed before one is spoiled; null: none is. */
  sabotage: number | null;
  /** Wall clock of the world, ms: times are drawn around it. */
  readonly nowMs: number;
}

/** Stands for a field that is best left out, where the schema allows it. */
export const OMIT: unique symbol = Symbol('omit');

type Tree = z.core.$ZodTypes;
type Objects = Readonly<Record<string, unknown>>;

/** Attempts to meet a condition that the tree does not tell (`refine`). */
const ATTEMPTS_MAX = 60;
/** Elements of a list beyond its least number. */
const EXTRA_ELEMENTS_MAX = 3;
/** Lists up to this many elements are also drawn full. */
const FULL_LIST_MAX = 100;
/** Levels of free JSON. */
const FREE_JSON_DEPTH_MAX = 3;

/** A value for `schema`; undefined stands for a field that is left out. */
export function drawValue(schema: z.core.$ZodType, field: string, draw: Draw): unknown {
  if (draw.sabotage !== null && draw.sabotage-- <= 0) {
    draw.sabotage = null;
    return spoiled(schema, field, draw);
  }
  const known = draw.known(field);
  if (known === OMIT && accepts(schema, undefined)) return undefined;
  if (known !== undefined && known !== OMIT && accepts(schema, known)) return known;
  return fresh(schema, field, draw);
}

const accepts = (schema: z.core.$ZodType, value: unknown): boolean => (schema as z.ZodType).safeParse(value).success;

/** The name of a field: a spoiled one may be a value of any kind, without a text of its own. */
const nameOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

function fresh(schema: z.core.$ZodType, field: string, draw: Draw): unknown {
  const { random } = draw;
  const { def } = (schema as Tree)._zod;
  switch (def.type) {
    case 'optional':
      return random.chance(0.5) ? undefined : drawValue(def.innerType, field, draw);
    case 'nullable':
      return random.chance(0.25) ? null : drawValue(def.innerType, field, draw);
    case 'default':
    case 'prefault':
      return random.chance(0.5) ? undefined : drawValue(def.innerType, field, draw);
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return drawValue(def.innerType, field, draw);
    case 'pipe':
      return drawValue(def.in, field, draw);
    case 'lazy':
      return freeJson(random, FREE_JSON_DEPTH_MAX);
    case 'any':
    case 'unknown':
      return freeJson(random, FREE_JSON_DEPTH_MAX);
    case 'object':
      return Object.fromEntries(
        Object.entries(def.shape).map(([name, part]) => [name, drawValue(part, name, draw)] as const),
      );
    case 'record':
      return Object.fromEntries(
        Array.from({ length: random.below(4) }, () => [
          nameOf(drawValue(def.keyType, `${field}.key`, draw)),
          drawValue(def.valueType, `${field}.value`, draw),
        ]),
      );
    case 'array': {
      const count = countOf(schema, random);
      return Array.from({ length: count }, () => drawValue(def.element, field, draw));
    }
    case 'union':
      return drawValue(random.pick(def.options), field, draw);
    case 'literal':
      return random.pick(def.values);
    case 'enum':
      return random.pick(Object.values(def.entries));
    case 'boolean':
      return random.chance(0.5);
    case 'null':
      return null;
    case 'number':
      return numberOf(schema, random);
    case 'string':
      return textOf(schema, field, draw);
    default:
      throw new Error(`the generator knows no schema of type ${def.type} (field ${field})`);
  }
}

interface Bounds {
  minimum?: number;
  maximum?: number;
  format?: string;
  pattern?: RegExp;
}

/** Bounds of a number, or of the length of a text or list, and the format, as the schema's checks tell them. */
function boundsOf(schema: z.core.$ZodType): Bounds {
  const { def } = (schema as Tree)._zod;
  const bounds: Bounds = {};
  // A format is a schema and a check in one.
  if ('check' in def) noteCheck(def as unknown as CheckDef, bounds);
  for (const check of def.checks ?? []) noteCheck((check as z.core.$ZodChecks)._zod.def, bounds);
  return bounds;
}

type CheckDef = z.core.$ZodChecks['_zod']['def'];

function noteCheck(def: CheckDef, bounds: Bounds): void {
  const atLeast = (value: number): void => void (bounds.minimum = Math.max(bounds.minimum ?? -Infinity, value));
  const atMost = (value: number): void => void (bounds.maximum = Math.min(bounds.maximum ?? Infinity, value));
  switch (def.check) {
    case 'min_length':
      return atLeast(def.minimum);
    case 'max_length':
      return atMost(def.maximum);
    case 'length_equals':
      atLeast(def.length);
      return atMost(def.length);
    case 'greater_than':
      return atLeast(Number(def.value) + (def.inclusive ? 0 : 1));
    case 'less_than':
      return atMost(Number(def.value) - (def.inclusive ? 0 : 1));
    case 'number_format':
      bounds.format = def.format;
      return;
    case 'string_format':
      bounds.format = def.format;
      if (def.pattern !== undefined) bounds.pattern = def.pattern;
      return;
    default:
  }
}

function countOf(schema: z.core.$ZodType, random: SeededRandom): number {
  const { minimum = 0, maximum = Infinity } = boundsOf(schema);
  if (maximum <= FULL_LIST_MAX && random.chance(0.02)) return maximum;
  return Math.min(maximum, minimum + random.below(EXTRA_ELEMENTS_MAX + 1));
}

function numberOf(schema: z.core.$ZodType, random: SeededRandom): number {
  const { minimum = -1e9, maximum = 1e9, format } = boundsOf(schema);
  const whole = format?.includes('int') === true;
  switch (random.below(6)) {
    case 0:
      return minimum;
    case 1:
      return maximum;
    case 2:
      return Math.min(maximum, whole ? minimum + 1 : minimum + 0.5);
    default: {
      // Small numbers mean most: counters, epochs, sizes.
      const reach = Math.min(maximum - minimum, random.pick([3, 100, 10_000, maximum - minimum]));
      const value = minimum + random.next() * reach;
      return whole ? Math.floor(value) : value;
    }
  }
}

function textOf(schema: z.core.$ZodType, field: string, draw: Draw): string {
  const bounds = boundsOf(schema);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const text = candidateText(bounds, draw);
    if (accepts(schema, text)) return text;
  }
  throw new Error(
    `no text found for field ${field}: ${JSON.stringify({ ...bounds, pattern: bounds.pattern?.source })}`,
  );
}

function candidateText({ minimum = 0, maximum = 200, format, pattern }: Bounds, draw: Draw): string {
  const { random, nowMs } = draw;
  if (format === 'datetime') return new Date(nowMs + Math.floor(random.between(-600_000, 60_000))).toISOString();
  if (format === 'url') return 'http://127.0.0.1:7000/path';
  if (pattern !== undefined) return random.pick(samplesOf(pattern));
  const length = random.pick([minimum, Math.min(maximum, 64), maximum, minimum + random.below(20) + 1]);
  switch (random.below(8)) {
    case 0:
      return random
        .pick(WELL_FORMED)
        .repeat(Math.ceil(length / 4))
        .slice(0, length);
    case 1:
      return random.pick(WELL_FORMED);
    case 2:
      return String(random.below(2_000_000) - 1_000_000);
    default:
      return Array.from({ length }, (_none, at) => random.pick(at === 0 ? FIRST_CHARS : NAME_CHARS)).join('');
  }
}

const FIRST_CHARS = [...'abcxyzABC019'];
const NAME_CHARS = [...FIRST_CHARS, '-', '_', '.'];
/** Text that is awkward and allowed. */
const WELL_FORMED = [
  'ключ',
  '\u0645\u0641\u062a\u0627\u062d',
  '\u{1f98a}',
  '\u0000',
  '\u202e',
  'é',
  '\uffff',
  '\u{10ffff}',
  'a b',
  '~',
];

const samples = new Map<string, readonly string[]>();
const SAMPLES_OF_PATTERN = 40;

/** Texts that match a pattern; the same ones in every run. */
function samplesOf(pattern: RegExp): readonly string[] {
  const known = samples.get(pattern.source);
  if (known !== undefined) return known;
  const drawn = fc.sample(fc.stringMatching(pattern), { numRuns: SAMPLES_OF_PATTERN, seed: 1 });
  samples.set(pattern.source, drawn);
  return drawn;
}

function freeJson(random: SeededRandom, depth: number): unknown {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return random.below(1_000_000) - 500_000;
    case 3:
      return random.pick(WELL_FORMED);
    case 4:
      return random.hex(4);
    case 5:
      return Array.from({ length: random.below(4) }, () => freeJson(random, depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(4) }, () => [random.hex(2), freeJson(random, depth - 1)]),
      );
  }
}

/** A value that is just outside of what the schema takes, or of another type altogether. */
function spoiled(schema: z.core.$ZodType, field: string, draw: Draw): unknown {
  const { random } = draw;
  const inner = innermost(schema);
  const { def } = (inner as Tree)._zod;
  if (random.chance(0.4)) return hostileValue(random);
  if (random.chance(0.1)) return undefined; // left out
  const { minimum, maximum } = boundsOf(inner);
  switch (def.type) {
    case 'object':
      return spoiledObject(fresh(inner, field, { ...draw, sabotage: null }) as Objects, random);
    case 'array': {
      const one = drawValue(def.element, field, { ...draw, sabotage: null });
      if (random.chance(0.3) && (minimum ?? 0) > 0) return [];
      return Array.from({ length: Math.min(maximum ?? 50, 20_000) + 1 }, () => one);
    }
    case 'number':
      return random.pick([
        (minimum ?? 0) - 1,
        (maximum ?? Number.MAX_SAFE_INTEGER) + 1,
        (minimum ?? 0) + 0.25,
        new RawJson('1e400'),
        String(minimum ?? 0),
      ]);
    case 'string': {
      const text = random.chance(0.5) ? hostileText(random) : 'a'.repeat((maximum ?? 1_000) + 1);
      return text;
    }
    case 'enum': {
      const value = String(random.pick(Object.values(def.entries)));
      return random.pick([value.toLowerCase(), value.toUpperCase(), ` ${value}`, `${value}S`, value.slice(1)]);
    }
    case 'boolean':
      return random.pick(['true', 'false', 0, 1, null]);
    default:
      return hostileValue(random);
  }
}

function innermost(schema: z.core.$ZodType): z.core.$ZodType {
  const { def } = (schema as Tree)._zod;
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return innermost(def.innerType);
    case 'pipe':
      return innermost(def.in);
    default:
      return schema;
  }
}

function spoiledObject(good: Objects, random: SeededRandom): unknown {
  const names = Object.keys(good);
  const name = names.length === 0 ? 'field' : random.pick(names);
  switch (random.below(6)) {
    case 0: {
      const { [name]: _left, ...rest } = good;
      return rest;
    }
    case 1:
      return { ...good, nonsense: hostileValue(random) };
    case 2:
      return { ...good, [random.pick(['constructor', 'toString', '', 'NODE_ID', `${name} `])]: 1 };
    case 3:
      return { ...good, [name]: null };
    case 4:
      return { ...good, [name]: [good[name]] };
    default:
      return { ...good, [name]: { [name]: good[name] } };
  }
}
