import type { Node } from 'constructs';

/** Values of `cdk deploy -c name=value`. Every reader throws with the name of the value at fault, and what it must be. */
export interface Context {
  text(name: string, fallback: string): string;
  oneOf<T extends string>(name: string, values: readonly T[], fallback: T): T;
  /** A whole number from `min` to `max`. */
  integer(name: string, fallback: number, min: number, max: number): number;
  /** A list by commas, 1 to `max` different values; null when the context lacks the name. */
  list(name: string, pattern: RegExp, example: string, max: number): readonly string[] | null;
}

export function contextOf(node: Node): Context {
  const text = (name: string, fallback: string): string => {
    const value: unknown = node.tryGetContext(name);
    if (value === undefined) return fallback;
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    throw new Error(`context ${name} must be text`);
  };
  return {
    text,
    oneOf: (name, values, fallback) => {
      const given = text(name, fallback);
      const value = values.find((candidate) => candidate === given);
      if (value === undefined) throw new Error(`context ${name} must be one of ${values.join(', ')}`);
      return value;
    },
    integer: (name, fallback, min, max) => {
      const value = Number(text(name, String(fallback)));
      if (!Number.isInteger(value) || value < min || value > max) {
        throw new Error(`context ${name} must be a whole number from ${min} to ${max}`);
      }
      return value;
    },
    list: (name, pattern, example, max) => {
      const given = text(name, '');
      if (given === '') return null;
      const values = given.split(',').map((value) => value.trim());
      if (
        values.length > max ||
        new Set(values).size < values.length ||
        !values.every((value) => pattern.test(value))
      ) {
        throw new Error(`context ${name} must be 1 to ${max} different values like ${example}, by comma`);
      }
      return values;
    },
  };
}
