import { spawn } from 'node:child_process';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { diagnose, explained } from './failures.ts';
import { preflight } from './preflight.ts';

/** `npm run deploy`: looks at account and region, runs `cdk deploy`, and names what was missing when that fails. */

/** Characters of CDK's output that are kept for the diagnosis: the failure stands at its end. */
const OUTPUT_CHARS_MAX = 200_000;
const ATTEMPTS = 2;

const args = process.argv.slice(2);
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Value of `-c name=value` or `--context name=value`, the last one. */
function contextValue(name: string): string | undefined {
  const values = args.flatMap((arg, index) => {
    const pair = /^(?:-c|--context)$/.test(args[index - 1] ?? '') ? arg : /^(?:-c|--context)=?(.+)$/.exec(arg)?.[1];
    return pair?.startsWith(`${name}=`) === true ? [pair.slice(name.length + 1)] : [];
  });
  return values.at(-1);
}

function runCdk(): Promise<{ status: number; output: string }> {
  return new Promise((resolve, reject) => {
    const cdk = spawn('cdk', ['deploy', '--all', '--require-approval', 'never', ...args], {
      stdio: ['inherit', 'pipe', 'pipe'],
    });
    let output = '';
    const take =
      (to: NodeJS.WriteStream) =>
      (chunk: Buffer): void => {
        to.write(chunk);
        output = (output + chunk.toString('utf8')).slice(-OUTPUT_CHARS_MAX);
      };
    cdk.stdout.on('data', take(process.stdout));
    cdk.stderr.on('data', take(process.stderr));
    cdk.on('error', reject);
    cdk.on('close', (status) => resolve({ status: status ?? 1, output }));
  });
}

async function deploy(): Promise<number> {
  const region = contextValue('region') ?? process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'];
  const { failures, warnings } = await preflight({
    client: new LambdaClient({ maxAttempts: ATTEMPTS, ...(region === undefined ? {} : { region }) }),
    region: region ?? 'the region of your profile',
    detectorConcurrency: contextValue('detectorConcurrency') === 'shared' ? 'shared' : 'reserved',
  });
  for (const warning of warnings) say(`Note: ${warning}`);
  for (const failed of failures) say(explained(failed));
  if (failures.length > 0) return 1;
  const { status, output } = await runCdk();
  const known = status === 0 ? null : diagnose(output);
  if (known !== null) say(`\n${explained(known)}`);
  return status;
}

process.exitCode = await deploy();
