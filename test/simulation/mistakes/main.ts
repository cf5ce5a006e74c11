import { MISTAKES } from './index.ts';
import { search } from './search.ts';
import type { Search } from './search.ts';

/** The process in which one mistake is planted (search.ts). */
const wanted = JSON.parse(process.argv[2] ?? '') as Search;
const planted = MISTAKES.find(({ name }) => name === wanted.mistake) ?? null;
if (wanted.mistake !== null && planted === null) throw new Error(`no mistake is called ${wanted.mistake}`);
await search(wanted, planted, (result) => process.stdout.write(`${JSON.stringify(result)}\n`));
