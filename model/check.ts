import { parseArgs } from 'node:util';
import { search } from './spin.ts';
import type { Found } from './spin.ts';
import { GUARDS, MODELS } from './suite.ts';

/** `npm run model`: see README.md. */

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    /** Only models and guards with this in their name. */
    only: { type: 'string', default: '' },
    /** Print the steps of each counterexample. */
    steps: { type: 'boolean', default: false },
    guards: { type: 'boolean', default: true },
    models: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const folder = import.meta.dirname;
const print = (line: string): void => {
  if (!values.json) process.stdout.write(`${line}\n`);
};
const count = (value: number): string => value.toLocaleString('en');

let bad = 0;
const models: {
  name: string;
  bounds: string;
  states: number;
  depth: number;
  seconds: number;
  memory_mib: number;
  errors: number;
}[] = [];
const counterexamples: {
  rule: string;
  guard: string;
  model: string;
  steps: number;
  invariant: string | null;
  seconds: number;
}[] = [];
const showSteps = (found: Found): void => {
  if (values.steps) found.steps.forEach((step, index) => print(`    ${String(index + 1).padStart(3)} ${step}`));
};

if (values.models)
  for (const { name, model, defines, bounds } of MODELS) {
    if (!name.includes(values.only)) continue;
    const found = await search(folder, { model, defines, order: 'DEPTH' });
    if (found.errors > 0) bad++;
    models.push({
      name,
      bounds,
      states: found.states,
      depth: found.depth,
      seconds: found.seconds,
      memory_mib: found.memoryMib,
      errors: found.errors,
    });
    print(
      `${name.padEnd(28)} ${count(found.states).padStart(12)} states  depth ${found.depth}  ${found.seconds} s  ${found.memoryMib} MiB  ${found.errors === 0 ? 'holds' : `BROKEN ${found.broken ?? '?'}`}`,
    );
    showSteps(found);
  }
if (values.guards)
  for (const { rule, guard, model, defines, without } of GUARDS) {
    if (!`${model} ${guard}`.includes(values.only)) continue;
    const found = await search(folder, { model, defines: [`NO_${guard}`, ...defines], order: 'BREADTH' });
    if (found.errors === 0) bad++;
    counterexamples.push({
      rule,
      guard,
      model,
      steps: found.steps.length,
      invariant: found.broken,
      seconds: found.seconds,
    });
    const verdict =
      found.errors === 0
        ? `NOT FOUND in ${count(found.states)} states`
        : `${found.broken ?? '?'} in ${found.steps.length} steps`;
    print(`${rule.padEnd(6)} ${guard.padEnd(16)} ${verdict.padEnd(24)} ${found.seconds} s  ${without}`);
    showSteps(found);
  }
if (values.json)
  process.stdout.write(
    `${JSON.stringify({ name: 'model', pass: bad === 0, models, guards_removed: counterexamples.length, counterexamples })}\n`,
  );
process.exitCode = bad === 0 ? 0 : 1;
