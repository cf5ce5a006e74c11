#!/usr/bin/env node
// Runs shardctl under the project's own Node 24 when the one that was found is older.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;
const main = new URL('../main.ts', import.meta.url);

if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) {
  await import(main.href);
} else {
  const own = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));
  if (existsSync(own)) {
    const run = spawnSync(own, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' });
    process.exitCode = run.status ?? 1;
  } else {
    process.stderr.write(
      `shardctl needs Node ${NODE_MAJOR_MIN} or newer; this is ${process.versions.node}. Run "npm ci" in the project, or install a newer Node.\n`,
    );
    process.exitCode = 2;
  }
}
