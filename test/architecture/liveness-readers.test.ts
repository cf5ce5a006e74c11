import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * A lease lives in the node's own item or in a pack (L1): who reads one of them alone can take a live node for a fenced one. So only
 * these files may; everybody else asks `LivenessReader` (ports.ts).
 */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const READERS = [
  'shared/adapters/command-mailbox.ts', // counts mail where it is
  'shared/store/liveness-reader.ts',
  'shared/usecases/heartbeats.ts', // the read that its put is conditional on
  'shared/usecases/join-pack.ts', // the same
];
const RAW_READ = /\b(?:get|getMany|query)\(\s*'liveness(?:Pack)?'|everyRecord\(\s*\w+,\s*'liveness/;

test('liveness is read in one way', () => {
  const files = ['shared', 'state-machines', 'functions', 'local'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(folder, file)),
  );
  const readers = files.filter((file) => RAW_READ.test(readFileSync(join(ROOT, file), 'utf8')));
  expect(readers.toSorted()).toEqual(READERS);
});
