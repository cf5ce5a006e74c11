import type { Runtime, RuntimeSource } from './runtime.ts';
import { jsonLogger } from './system.ts';

/**
 * Runtime of a Lambda function: composed from its environment at the first event and kept by the process. The AWS SDK comes in
 * only then, so that other users of the same handlers (local runner, simulation) never load it.
 */
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
  const { lambdaDeps } = await import('./lambda-deps.ts');
  return { deps: await lambdaDeps(), answers: 'trusted' };
}
