import type { App } from 'aws-cdk-lib';
import { Tags } from 'aws-cdk-lib';
import { ApiStack } from './api-stack.ts';
import { DataStack } from './data-stack.ts';
import { NetworkStack } from './network-stack.ts';
import { OperationsStack } from './operations-stack.ts';
import { readSettings } from './settings.ts';

export interface DeploymentStacks {
  readonly data: DataStack;
  /** null: no VPC is given. */
  readonly network: NetworkStack | null;
  readonly operations: OperationsStack;
  readonly api: ApiStack;
}

/** The stacks of one deployment; separate from the call below, so that tests build them too. */
export function buildApp(app: App): DeploymentStacks {
  const settings = readSettings(app.node);
  const named = (part: string): string => `${settings.prefix}-${part}`;
  const props = {
    ...(settings.region === null ? {} : { env: { region: settings.region } }),
    // Production is not deleted by a command alone.
    terminationProtection: settings.policy.deletionProtection && settings.target === 'aws',
  };
  const data = new DataStack(app, named('data'), settings, props);
  const network =
    settings.network === null ? null : new NetworkStack(app, named('network'), settings.network, settings, props);
  const surroundings = { data, network, settings };
  const operations = new OperationsStack(app, named('operations'), surroundings, props);
  const api = new ApiStack(app, named('api'), surroundings, props);
  Tags.of(app).add('application', 'shardkeeper');
  Tags.of(app).add('cluster', settings.cluster);
  Tags.of(app).add('stage', settings.stage);
  return { data, network, operations, api };
}
