import { readFileSync } from 'node:fs';
import { systemEnvironment, systemNetwork } from '../client/index.ts';
import { runCli } from './program.ts';

const network = systemNetwork();
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `shardctl scan | head`: the reader has seen enough.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  network,
  environment: systemEnvironment,
  readFile: (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return null;
    }
  },
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  errIsTerminal: process.stderr.isTTY,
});
network.close();
