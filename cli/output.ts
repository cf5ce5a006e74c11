import Table from 'cli-table3';
import type { Context } from './context.ts';

export type Cell = string | number | boolean | null;

/** Prints `json` with --json, else a table. */
export function printTable(
  context: Context,
  json: unknown,
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
): void {
  if (context.options.json) {
    printJson(context, json);
    return;
  }
  if (rows.length === 0) {
    context.io.out('none\n');
    return;
  }
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  for (const row of rows) table.push(row.map((cell) => (cell === null ? '-' : String(cell))));
  context.io.out(`${table.toString()}\n`);
}

/** Prints `json` with --json, else one field a line. */
export function printFields(context: Context, json: unknown, fields: Readonly<Record<string, Cell>>): void {
  if (context.options.json) {
    printJson(context, json);
    return;
  }
  const width = Math.max(...Object.keys(fields).map((name) => name.length));
  for (const [name, value] of Object.entries(fields)) {
    context.io.out(`${name.padEnd(width)}  ${value === null ? '-' : String(value)}\n`);
  }
}

export function printJson(context: Context, json: unknown): void {
  context.io.out(`${JSON.stringify(json)}\n`);
}

/** Takes what a generator yields and what it returns. */
export async function collect<T, R>(items: AsyncGenerator<T, R, undefined>): Promise<{ items: T[]; end: R }> {
  const taken: T[] = [];
  for (;;) {
    const step = await items.next();
    if (step.done === true) return { items: taken, end: step.value };
    taken.push(step.value);
  }
}

/** Tells on standard error that a list goes on. */
export function tellMore(context: Context, end: { readonly more: boolean }): void {
  if (end.more) context.io.err('more follow: raise --limit\n');
}

/** A key bound as people read it. */
export const showKey = (key: string | null, edge: 'start' | 'end'): string =>
  edge === 'start' ? (key === '' || key === null ? '(start)' : key) : (key ?? '(end)');
