import { lambdaDeps } from '#lambda-deps';
import type { Runtime, RuntimeSource } from './runtime.ts';
import { jsonLogger } from './system.ts';

/** Runtime of a Lambda function: composed from its environment at the first event and kept by the process. */
export const lambdaRuntime: RuntimeSource = () => {
  composed ??= compose().catch((error: unknown) => {
    composed = undefined; // The next event tries again.
    // Without a runtime no handler has a log yet.
    jsonLogger((line) => process.stdout.write(`${line}\n`)).error('runtime-not-composed', { error });
    throw error;
  });
  return composed;
};

let composed: Promise<Runtime> | undefined;

async function compose(): Promise<Runtime> {
  return { deps: await lambdaDeps(), answers: 'trusted' };
}
