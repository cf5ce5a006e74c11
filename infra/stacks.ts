import type { App } from 'aws-cdk-lib';
import { Tags } from 'aws-cdk-lib';
import { ApiStack } from './api-stack.ts';
import { DataStack } from './data-stack.ts';
import { OperationsStack } from './operations-stack.ts';
import { readSettings } from './settings.ts';

/** The stacks of one deployment; separate from the call below, so that tests build them too. */
export function buildApp(app: App): { data: DataStack; operations: OperationsStack; api: ApiStack } {
  const settings = readSettings(app.node);
  const named = (part: string): string => `${settings.prefix}-${part}`;
  const data = new DataStack(app, named('data'), settings);
  const operations = new OperationsStack(app, named('operations'), { data, settings });
  const api = new ApiStack(app, named('api'), { data, settings });
  Tags.of(app).add('application', settings.prefix);
  return { data, operations, api };
}
