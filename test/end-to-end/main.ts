import { parseArgs } from 'node:util';
import { cases } from './cases/index.ts';
import { openCloud } from './cloud.ts';
import type { Deployment } from './deployment.ts';
import { startLocal } from './local.ts';
import { runSuite } from './suite.ts';

/** The end-to-end suite: the same cases against the one-machine runner and against a deployment (docs/testing.md). */
const USAGE = `Usage: node test/end-to-end/main.ts local
       AWS_ENDPOINT_URL=URL node test/end-to-end/main.ts cloud --outputs FILE [--stack PREFIX]

  local           starts \`npm start\` in a temporary directory and ends it
  cloud           what \`cdk deploy\` put behind an AWS-compatible endpoint; starts data nodes that join it
  --outputs FILE  what \`cdk deploy --outputs-file FILE\` wrote
  --stack PREFIX  start of the stacks' names (default: shardkeeper-dev)`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { outputs: { type: 'string' }, stack: { type: 'string', default: 'shardkeeper-dev' } },
  });
  const endpoint = process.env['AWS_ENDPOINT_URL'];
  const [target] = positionals;
  let deployment: Deployment;
  if (target === 'local') deployment = await startLocal();
  else if (target === 'cloud' && endpoint !== undefined && values.outputs !== undefined) {
    deployment = await openCloud({ endpoint, outputsFile: values.outputs, stack: values.stack });
  } else {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  // Ended from outside, a run still ends what it started.
  const interrupted = (): void => {
    void deployment.stop().finally(() => process.exit(130));
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    return (await runSuite(deployment, cases)) ? 0 : 1;
  } finally {
    await deployment.stop();
  }
}

// Left by `exit`: connections that a failed case left open would hold the process.
process.exit(await main());
