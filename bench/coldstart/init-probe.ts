import { createRequire } from 'node:module';

/** Run in a process of its own: prints how long (ms) the bundle in the first argument takes to load, as Lambda's INIT loads it. */
const [bundle] = process.argv.slice(2);
if (bundle === undefined) throw new Error('which bundle?');
const require = createRequire(import.meta.url);
const fromMs = performance.now();
const entry = require(bundle) as { readonly handler?: unknown };
const initMs = performance.now() - fromMs;
if (typeof entry.handler !== 'function') throw new Error(`${bundle} exports no handler`);
process.stdout.write(`${initMs}\n`);
