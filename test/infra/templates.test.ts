import { readFileSync } from 'node:fs';
import type { APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { Match } from 'aws-cdk-lib/assertions';
import { functionAccess } from '../../infra/access.ts';
import { frontDoor, HOT_ENTRIES } from '../../infra/front-door.ts';
import { gatewayAnswers, problemTemplate } from '../../infra/gateway-responses.ts';
import { matchFrontDoor } from '../../local/gateway.ts';
import { calls } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import { problemSchema } from '../../shared/contracts/api/problem.ts';
import { authorizerHandler } from '../../shared/runtime/authorizer.ts';
import { readEnvironment } from '../../shared/runtime/environment.ts';
import type { Runtime } from '../../shared/runtime/runtime.ts';
import { stepTags } from '../../shared/runtime/operation-steps.ts';
import { PRODUCT_VERSION } from '../../shared/runtime/version.ts';
import { STORE_ATTRIBUTES } from '../../shared/store/limits.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import { concretePath, samples } from '../functions/samples.ts';
import { namedResources, resourcesOf, roleOf, statementsOf, templates } from './support.ts';
import type { Resource } from './support.ts';

let aws: ReturnType<typeof templates>;
beforeAll(() => {
  aws = templates();
});

describe('tables', () => {
  test('have the keys that the store writes', () => {
    const tables = resourcesOf(aws.data, 'AWS::DynamoDB::Table');
    expect(tables).toHaveLength(6);
    for (const table of tables) {
      expect(table).toMatchObject({
        Properties: {
          KeySchema: [
            { AttributeName: STORE_ATTRIBUTES.partitionKey, KeyType: 'HASH' },
            { AttributeName: STORE_ATTRIBUTES.sortKey, KeyType: 'RANGE' },
          ],
          BillingMode: 'PAY_PER_REQUEST',
        },
      });
    }
  });
  test('the outbox leaves by the stream of the events table only', () => {
    const streamed = resourcesOf(aws.data, 'AWS::DynamoDB::Table').filter(
      (table) => table.Properties['StreamSpecification'],
    );
    expect(streamed.map((table) => table.Properties['TableName'])).toEqual(['shardkeeper-dev-events']);
  });
});

describe('functions', () => {
  const functions = (): readonly Resource[] =>
    [aws.api, aws.operations]
      .flatMap((template) => resourcesOf(template, 'AWS::Lambda::Function'))
      .filter((resource) => resource.Properties['Description'] !== undefined);

  test('run on Node 24 with the environment that they parse', () => {
    expect(functions()).toHaveLength(17);
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
  test('the detector outlives its loop, runs twice at most (template only) and is never retried', () => {
    aws.operations.hasResourceProperties('AWS::Lambda::Function', {
      Timeout: 150,
      ReservedConcurrentExecutions: 2,
      Description: Match.stringLikeRegexp('detector'),
    });
    aws.operations.resourcePropertiesCountIs('AWS::Lambda::EventInvokeConfig', { MaximumRetryAttempts: 0 }, 2);
    const rules = resourcesOf(aws.operations, 'AWS::Events::Rule').filter((r) => r.Properties['ScheduleExpression']);
    expect(rules).toHaveLength(2);
    for (const { Properties } of rules) {
      expect(Properties).toMatchObject({
        ScheduleExpression: 'rate(1 minute)',
        State: 'ENABLED',
        Targets: [{ RetryPolicy: { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 } }],
      });
    }
  });
  test('an account without concurrency to spare can leave the reservation out', () => {
    const { operations } = templates({ detectorConcurrency: 'shared' });
    operations.resourcePropertiesCountIs(
      'AWS::Lambda::Function',
      { ReservedConcurrentExecutions: Match.anyValue() },
      0,
    );
  });
  test('each has a role of its own, and no role takes a wildcard where a name will do', () => {
    const roles = functions().map((entry) => roleOf(entry));
    expect(new Set(roles).size).toBe(Object.keys(functionAccess).length);
    for (const template of [aws.api, aws.operations]) {
      const text = JSON.stringify(resourcesOf(template, 'AWS::IAM::Policy'));
      expect(text).not.toMatch(/dynamodb:\*|"Action":"\*"|dynamodb:Scan|stateMachine:[a-z-]*\*/);
    }
  });
});

describe('state machines', () => {
  test('one for every registry entry', () => {
    const names = resourcesOf(aws.operations, 'AWS::StepFunctions::StateMachine').map(
      (r) => r.Properties['StateMachineName'],
    );
    expect(names.toSorted()).toEqual(stateMachines.map(({ type }) => `shardkeeper-dev-${type}`).toSorted());
  });

  test('each may invoke the step function that its ASL names, and no other', () => {
    const steps = Object.entries(namedResources(aws.operations, 'AWS::Lambda::Function'));
    const [stepId] = steps.find(([id]) => id.startsWith('OperationStep'))!;
    const step = { 'Fn::GetAtt': [stepId, 'Arn'] };
    for (const machine of resourcesOf(aws.operations, 'AWS::StepFunctions::StateMachine')) {
      expect(machine.Properties['DefinitionSubstitutions']).toEqual({ OperationStepFunction: step });
      const lambda = statementsOf(aws.operations, roleOf(machine)).filter(({ actions }) =>
        actions.some((action) => action.startsWith('lambda:')),
      );
      expect(lambda).toEqual([
        { actions: ['lambda:InvokeFunction'], resources: [step, { 'Fn::Join': ['', [step, ':*']] }] },
      ]);
    }
  });

  test('each is logged without payloads and traced (template only)', () => {
    for (const { Properties } of resourcesOf(aws.operations, 'AWS::StepFunctions::StateMachine')) {
      expect(Properties['TracingConfiguration']).toEqual({ Enabled: true });
      expect(Properties['LoggingConfiguration']).toMatchObject({ Level: 'ALL', IncludeExecutionData: false });
    }
  });

  test('each has alarms on failed and timed-out executions (template only)', () => {
    const machines = Object.keys(namedResources(aws.operations, 'AWS::StepFunctions::StateMachine'));
    const watched = resourcesOf(aws.operations, 'AWS::CloudWatch::Alarm').map(({ Properties }) => ({
      metric: Properties['MetricName'],
      of: (Properties['Dimensions'] as { Value: { Ref?: string } }[])[0]?.Value.Ref,
    }));
    for (const of of machines) {
      expect(watched).toContainEqual({ metric: 'ExecutionsFailed', of });
      expect(watched).toContainEqual({ metric: 'ExecutionsTimedOut', of });
    }
  });

  test('functions may start and answer the machines of the registry alone', () => {
    const starters = [aws.api, aws.operations].flatMap((template) =>
      resourcesOf(template, 'AWS::Lambda::Function').flatMap((entry) =>
        entry.Properties['Description'] === undefined ? [] : statementsOf(template, roleOf(entry)),
      ),
    );
    const states = starters.filter(({ actions }) => actions.some((action) => action.startsWith('states:')));
    expect(states.length).toBeGreaterThan(0);
    for (const { resources } of states) {
      const named = resources.map((resource) => /:shardkeeper-dev-([a-z-]+)/.exec(JSON.stringify(resource))?.[1]);
      expect(named.toSorted()).toEqual(stateMachines.map(({ type }) => type).toSorted());
    }
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

  test("the gateway's own answers are problem details (template only)", () => {
    const answers = resourcesOf(aws.api, 'AWS::ApiGateway::GatewayResponse');
    expect(answers).toHaveLength(gatewayAnswers.length);
    for (const { Properties } of answers) {
      const templates = Properties['ResponseTemplates'] as Record<string, string>;
      expect(Object.keys(templates)).toEqual(['application/problem+json']);
      // The gateway fills its variables in; `messageString` brings its quotes.
      const filled = templates['application/problem+json']!.replace('$context.error.messageString', '"m"')
        .replace('$context.authorizer.code', 'TOKEN_EXPIRED')
        .replaceAll(/\$context\.[a-zA-Z._]+/g, 'text');
      const problem = problemSchema.parse(JSON.parse(filled));
      expect(problem.status).toBe(Number(Properties['StatusCode']));
      expect(problem.type).toMatch(/^urn:shardkeeper:problem:[a-z-]+$/);
    }
  });

  test('no message of the authorizer can break out of the answer, whatever is in it', async () => {
    const denied = gatewayAnswers.find(({ id }) => id === 'Denied')!;
    const message = 'a "quoted" \\ text,\n"code":"ADMIN"} \u2028 $context.requestId';
    const authorize = authorizerHandler(() => {
      const refused = { ok: false, error: { code: 'TOKEN_EXPIRED', message } };
      return Promise.resolve({ deps: { tokens: { verify: () => Promise.resolve(refused) } } } as unknown as Runtime);
    });
    const { context } = await authorize({
      methodArn: 'arn:any',
      headers: { Authorization: 'Bearer any' },
    } as unknown as APIGatewayRequestAuthorizerEvent);
    const filled = problemTemplate(denied).replaceAll(
      /\$context\.(authorizer\.)?([a-z_]+)/gi,
      (_all, from, name: string) => (from === undefined ? 'r-1' : String(context?.[name])),
    );
    expect(problemSchema.parse(JSON.parse(filled))).toMatchObject({
      code: 'TOKEN_EXPIRED',
      detail: message,
      status: 401,
    });
  });

  test.each<[string, number, string]>([
    ['UNAUTHORIZED', 401, 'unauthenticated'],
    ['ACCESS_DENIED', 401, 'unauthenticated'],
    ['WAF_FILTERED', 403, 'forbidden'],
    ['MISSING_AUTHENTICATION_TOKEN', 404, 'not-found'],
    ['REQUEST_TOO_LARGE', 413, 'payload-too-large'],
    ['THROTTLED', 429, 'overloaded'],
    ['AUTHORIZER_FAILURE', 503, 'store-unavailable'],
    ['INTEGRATION_TIMEOUT', 503, 'store-unavailable'],
    ['DEFAULT_5XX', 500, 'internal'],
  ])('the gateway answers %s with %i (template only)', (ResponseType, status, type) => {
    const ask = status === 429 || status === 503 ? { 'gatewayresponse.header.Retry-After': "'1'" } : {};
    aws.api.hasResourceProperties('AWS::ApiGateway::GatewayResponse', {
      ResponseType,
      StatusCode: String(status),
      ResponseTemplates: { 'application/problem+json': Match.stringLikeRegexp(`problem:${type}"`) },
      ...(Object.keys(ask).length === 0 ? {} : { ResponseParameters: Match.objectLike(ask) }),
    });
  });

  test('it limits the rate by stage, and logs requests without what may hold a secret (template only)', () => {
    const [stage] = resourcesOf(aws.api, 'AWS::ApiGateway::Stage');
    expect(stage?.Properties['MethodSettings']).toEqual([
      expect.objectContaining({ ThrottlingRateLimit: 100, ThrottlingBurstLimit: 200, DataTraceEnabled: false }),
    ]);
    const { Format } = stage?.Properties['AccessLogSetting'] as { Format: string };
    const logged = Object.values(JSON.parse(Format) as Record<string, string>);
    expect(logged).toContain('$context.status');
    expect(Format).not.toMatch(/header|\$input|querystring|\.path\b|authorizer\.(?!principalId)/i);
    const production = resourcesOf(templates({ stage: 'prod' }).api, 'AWS::ApiGateway::Stage');
    expect(production[0]?.Properties['MethodSettings']).toEqual([
      expect.objectContaining({ ThrottlingRateLimit: 2000, ThrottlingBurstLimit: 4000 }),
    ]);
  });

  test('the hot calls have Function URLs; tokens are checked inside', () => {
    const urls = resourcesOf(aws.api, 'AWS::Lambda::Url');
    expect(urls).toHaveLength(HOT_ENTRIES.length);
    for (const { Properties } of urls) expect(Properties['AuthType']).toBe('NONE');
    // A public call behind an address without authorizer would be nothing new; a hot call without a token would.
    for (const call of Object.values(calls) as Call[]) {
      if ((HOT_ENTRIES as readonly string[]).includes(call.resource)) expect(call.callers).not.toContain('public');
    }
    for (const name of ['HeartbeatUrl', 'RoutesUrl']) aws.api.hasOutput(name, {});
  });
});

test('a deployment to an emulator leaves out what only AWS has', () => {
  const emulator = templates({ target: 'emulator' });
  emulator.api.resourceCountIs('AWS::ApiGateway::GatewayResponse', 0);
  emulator.operations.resourcePropertiesCountIs('AWS::Lambda::Function', { ReservedConcurrentExecutions: 2 }, 0);
});

test('the version that the API shows is the package version', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(PRODUCT_VERSION).toBe(manifest.version);
});
