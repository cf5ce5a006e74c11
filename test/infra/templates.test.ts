import { readFileSync } from 'node:fs';
import { App } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { frontDoor } from '../../infra/front-door.ts';
import { buildApp } from '../../infra/stacks.ts';
import { matchFrontDoor } from '../../local/gateway.ts';
import { calls } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import { readEnvironment } from '../../shared/runtime/environment.ts';
import { stepTags } from '../../shared/runtime/operation-steps.ts';
import { PRODUCT_VERSION } from '../../shared/runtime/version.ts';
import { STORE_ATTRIBUTES } from '../../shared/store/limits.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import { concretePath, samples } from '../functions/samples.ts';

/** Templates of the stacks (bundling switched off: what is bundled is tested where it runs). */
function templates(context: Record<string, unknown> = {}) {
  const app = new App({ context: { 'aws:cdk:bundling-stacks': [], ...context } });
  const { data, operations, api } = buildApp(app);
  return { data: Template.fromStack(data), operations: Template.fromStack(operations), api: Template.fromStack(api) };
}

interface Resource {
  readonly Properties: Readonly<Record<string, unknown>>;
}
const resourcesOf = (template: Template, type: string): readonly Resource[] =>
  Object.values(template.findResources(type)) as unknown as readonly Resource[];

let aws: ReturnType<typeof templates>;
beforeAll(() => {
  aws = templates();
});

describe('tables', () => {
  test('have the keys that the store writes, and survive the stack', () => {
    const tables = resourcesOf(aws.data, 'AWS::DynamoDB::Table');
    expect(tables).toHaveLength(6);
    for (const table of tables) {
      expect(table).toMatchObject({
        DeletionPolicy: 'Retain',
        Properties: {
          KeySchema: [
            { AttributeName: STORE_ATTRIBUTES.partitionKey, KeyType: 'HASH' },
            { AttributeName: STORE_ATTRIBUTES.sortKey, KeyType: 'RANGE' },
          ],
          BillingMode: 'PAY_PER_REQUEST',
          DeletionProtectionEnabled: true,
          PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
        },
      });
    }
  });
  test('the outbox leaves by the stream of the events table only', () => {
    const streamed = resourcesOf(aws.data, 'AWS::DynamoDB::Table').filter(
      (table) => table.Properties['StreamSpecification'],
    );
    expect(streamed.map((table) => table.Properties['TableName'])).toEqual(['shardkeeper-events']);
  });
});

describe('functions', () => {
  const functions = (): readonly Resource[] =>
    [aws.api, aws.operations]
      .flatMap((template) => resourcesOf(template, 'AWS::Lambda::Function'))
      .filter((resource) => resource.Properties['Description'] !== undefined);

  test('run on Node 24 with the environment that they parse', () => {
    expect(functions()).toHaveLength(15);
    for (const { Properties } of functions()) {
      expect(Properties['Runtime']).toBe('nodejs24.x');
      const { Variables } = Properties['Environment'] as { Variables: Record<string, unknown> };
      const resolved = Object.fromEntries(
        Object.entries(Variables).map(([name, value]) => [
          name,
          typeof value === 'string' ? value : 'arn:of:something',
        ]),
      );
      expect(() => readEnvironment(resolved)).not.toThrow();
    }
  });
  test('the detector outlives its loop, runs twice at most and is never retried', () => {
    aws.operations.hasResourceProperties('AWS::Lambda::Function', {
      Timeout: 150,
      ReservedConcurrentExecutions: 2,
      Description: Match.stringLikeRegexp('detector'),
    });
    aws.operations.resourcePropertiesCountIs('AWS::Lambda::EventInvokeConfig', { MaximumRetryAttempts: 0 }, 2);
    aws.operations.resourcePropertiesCountIs('AWS::Events::Rule', { ScheduleExpression: 'rate(1 minute)' }, 2);
  });
  test('no role may touch every table or every action', () => {
    for (const template of [aws.api, aws.operations]) {
      const text = JSON.stringify(resourcesOf(template, 'AWS::IAM::Policy'));
      expect(text).not.toMatch(/dynamodb:\*|"Action":"\*"|dynamodb:Scan/);
    }
  });
});

describe('state machines', () => {
  test('one for every registry entry', () => {
    const names = resourcesOf(aws.operations, 'AWS::StepFunctions::StateMachine').map(
      (r) => r.Properties['StateMachineName'],
    );
    expect(names.toSorted()).toEqual(stateMachines.map(({ type }) => `shardkeeper-${type}`).toSorted());
  });

  type State = Readonly<Record<string, unknown>> & { readonly Type: string };
  const asl = (folder: string) =>
    JSON.parse(readFileSync(new URL(`../../state-machines/${folder}/${folder}.asl.json`, import.meta.url), 'utf8')) as {
      States: Record<string, State>;
    };
  const tasks = stateMachines.flatMap(({ type, folder }) =>
    Object.entries(asl(folder).States)
      .filter(([, state]) => state.Type === 'Task')
      .map(([name, state]) => [type, name, state] as const),
  );

  test.each(tasks)('%s: %s has TimeoutSeconds, Retry, Catch, and names a step that exists', (type, _name, state) => {
    expect(state['TimeoutSeconds']).toEqual(expect.any(Number));
    expect(state['Retry']).toEqual([expect.objectContaining({ MaxAttempts: expect.any(Number) as number })]);
    expect(state['Catch']).toEqual([expect.objectContaining({ ErrorEquals: ['States.ALL'] })]);
    const { FunctionName, Payload } = state['Parameters'] as { FunctionName: string; Payload: Record<string, string> };
    expect(FunctionName).toBe('${OperationStepFunction}');
    expect(stepTags(type)).toContain(Payload['step']);
    expect(Payload['operation_id.$']).toBe('$.operation_id');
    const waits = String(state['Resource']).endsWith('.waitForTaskToken');
    expect(Payload['task_token.$']).toBe(waits ? '$$.Task.Token' : undefined);
  });
});

describe('front door', () => {
  test.each(Object.entries(calls) as [keyof typeof calls, Call][])('%s reaches its entry', (name, call) => {
    const door = matchFrontDoor(concretePath(call.path, samples[name].params));
    expect(door.entry).toBe(call.resource);
    expect(door.authorizer).toBe(call.callers.includes('public') ? 'none' : 'token');
  });

  test('every path has an ANY method, behind the authorizer unless it is public', () => {
    const methods = resourcesOf(aws.api, 'AWS::ApiGateway::Method');
    expect(methods).toHaveLength(frontDoor.length);
    const open = methods.filter((method) => method.Properties['AuthorizationType'] !== 'CUSTOM');
    expect(open).toHaveLength(frontDoor.filter((door) => door.authorizer === 'none').length);
    for (const method of methods) expect(method.Properties['HttpMethod']).toBe('ANY');
  });

  test("the gateway's own answers are problem details", () => {
    const answers = resourcesOf(aws.api, 'AWS::ApiGateway::GatewayResponse');
    expect(answers.map((answer) => answer.Properties['ResponseType'])).toEqual(
      expect.arrayContaining(['UNAUTHORIZED', 'ACCESS_DENIED', 'AUTHORIZER_FAILURE', 'THROTTLED']),
    );
    for (const { Properties } of answers) {
      const templates = Properties['ResponseTemplates'] as Record<string, string>;
      const filled = (templates['application/problem+json'] ?? '').replace('$context.error.messageString', '"m"');
      expect(JSON.parse(filled)).toMatchObject({
        code: expect.any(String) as string,
        detail: expect.any(String) as string,
      });
    }
  });
});

test('a deployment to an emulator leaves out what only AWS has', () => {
  const emulator = templates({ target: 'emulator' });
  emulator.api.resourceCountIs('AWS::ApiGateway::GatewayResponse', 0);
  emulator.operations.resourcePropertiesCountIs('AWS::Lambda::Function', { ReservedConcurrentExecutions: 2 }, 0);
});

test.each([{ prefix: 'UPPER' }, { lease: 'slow' }, { target: 'azure' }, { replicationFactor: 0 }])(
  'a wrong context is refused: %j',
  (context) => expect(() => templates(context)).toThrow(/context (prefix|lease|target|replicationFactor)/),
);

test('the version that the API shows is the package version', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(PRODUCT_VERSION).toBe(manifest.version);
});
