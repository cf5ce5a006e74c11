import { GetAccountSettingsCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { mockClient } from 'aws-sdk-client-mock';
import { diagnose, explained, failures } from '../../infra/failures.ts';
import { preflight } from '../../infra/preflight.ts';

/** What a region or an account lacks is named, with what to do: before the deployment as far as it can be seen, else after. */
const mock = mockClient(LambdaClient);
const look = (detectorConcurrency: 'reserved' | 'shared' = 'reserved') =>
  preflight({ client: new LambdaClient({}), region: 'eu-central-1', detectorConcurrency });
const limits = (ConcurrentExecutions: number, UnreservedConcurrentExecutions = ConcurrentExecutions): void =>
  void mock
    .on(GetAccountSettingsCommand)
    .resolves({ AccountLimit: { ConcurrentExecutions, UnreservedConcurrentExecutions } });

beforeEach(() => mock.reset());

describe('preflight', () => {
  test('an account that has what it takes', async () => {
    limits(1000);
    expect(await look()).toEqual({ failures: [], warnings: [] });
  });

  test('a new account with 10 executions: named with the quota, the region and the way round', async () => {
    limits(10);
    const { failures: found } = await look();
    expect(found.map(explained)).toEqual([
      expect.stringMatching(
        /^CONCURRENCY_QUOTA: .*10 Lambda executions.*eu-central-1.*\n {2}-> .*detectorConcurrency=shared/,
      ),
    ]);
    expect(await look('shared')).toEqual({ failures: [], warnings: [] });
  });

  test('an account whose other functions leave little: an update may pass, so it is a note', async () => {
    limits(1000, 10);
    expect(await look()).toMatchObject({
      failures: [],
      warnings: [expect.stringContaining('leave 10 Lambda') as string],
    });
  });

  const named = (name: string, more: object = {}): Error =>
    Object.assign(new Error(`about ${name}`), { name, ...more });
  test.each([
    ['CREDENTIALS_MISSING', named('CredentialsProviderError')],
    ['CREDENTIALS_REFUSED', named('ExpiredTokenException')],
    ['CREDENTIALS_REFUSED', named('UnrecognizedClientException')],
    ['REGION_NOT_ENABLED', named('OptInRequired')],
    ['REGION_MISSING', new Error('Region is missing')],
    ['REGION_UNREACHABLE', named('Error', { code: 'ENOTFOUND' })],
    ['REGION_UNREACHABLE', named('TimeoutError')],
  ])('%s', async (code, error) => {
    mock.on(GetAccountSettingsCommand).rejects(error);
    const { failures: found } = await look();
    expect(found.map((one) => one.code)).toEqual([code]);
  });

  test('who may deploy but not read quotas is not held up', async () => {
    mock.on(GetAccountSettingsCommand).rejects(named('AccessDeniedException'));
    expect(await look()).toMatchObject({
      failures: [],
      warnings: [expect.stringContaining('could not be read') as string],
    });
  });

  test('what nobody expected is shown as it is', async () => {
    mock.on(GetAccountSettingsCommand).rejects(named('SomethingNew'));
    await expect(look()).rejects.toThrow('about SomethingNew');
  });
});

describe('what CDK and CloudFormation say', () => {
  test.each([
    [
      'CREDENTIALS_MISSING',
      'Unable to resolve AWS account to use. It must be either configured when you define your CDK Stack',
    ],
    ['CREDENTIALS_REFUSED', 'ExpiredToken: The security token included in the request is expired'],
    [
      'NOT_BOOTSTRAPPED',
      "shardkeeper-dev-data: SSM parameter /cdk-bootstrap/hnb659fds/version not found. Has the environment been bootstrapped? Please run 'cdk bootstrap'",
    ],
    [
      'CONCURRENCY_QUOTA',
      `Resource handler returned message: "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [10]. (Service: Lambda, Status Code: 400`,
    ],
    [
      'RUNTIME_UNSUPPORTED',
      "Value nodejs24.x at 'runtime' failed to satisfy constraint: Member must satisfy enum value set",
    ],
    [
      'FUNCTION_URLS_REFUSED',
      'User: x is not authorized to perform: lambda:CreateFunctionUrlConfig: access denied by a service control policy',
    ],
    ['FUNCTION_URLS_REFUSED', 'Template format error: Unrecognized resource types: AWS::Lambda::Url is not supported'],
    ['STACK_ROLLED_BACK', 'The stack named shardkeeper-dev-api is in ROLLBACK_FAILED state'],
    ['STACK_BUSY', 'Stack:arn:aws:x is in UPDATE_IN_PROGRESS state and can not be updated.'],
    ['NAME_TAKEN', 'shardkeeper-prod-topology already exists in stack arn:aws:cloudformation:x'],
    [
      'EXPORT_IN_USE',
      'Export shardkeeper-dev-data:ExportsOutputX cannot be deleted as it is in use by shardkeeper-dev-api',
    ],
    ['PERMISSION_MISSING', 'User: arn:aws:iam::1:user/x is not authorized to perform: iam:CreateRole on resource'],
    ['CONTEXT_WRONG', 'Error: context stage must be one of dev, staging, prod'],
  ])('%s: %s', (code, line) => {
    const found = diagnose(`some progress\n${line}\nmore of it\n`);
    expect(found).toMatchObject({ code, remedy: failures[code as keyof typeof failures] });
    expect(line).toContain(found!.message.slice(0, 60));
  });

  test('of anything else nothing is made up', () => {
    expect(diagnose('Resource handler returned message: "Internal Failure"')).toBeNull();
  });
});
