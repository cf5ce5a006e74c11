import { environmentSchema } from '../../shared/runtime/environment.ts';
import { namedResources, resourcesOf, templates } from './support.ts';

/** Keys never leave KMS; nothing secret stands in environment variables, outputs or histories. Template only. */
const built = templates();
const all = [built.data, built.operations, built.api];

describe('root keys', () => {
  test('sign only, on P-256; the alias names the one that signs', () => {
    const [key, ...others] = Object.entries(namedResources(built.data, 'AWS::KMS::Key'));
    expect(others).toEqual([]);
    expect(key?.[1].Properties).toMatchObject({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' });
    expect(resourcesOf(built.data, 'AWS::KMS::Alias').map(({ Properties }) => Properties)).toEqual([
      { AliasName: 'alias/shardkeeper-dev-signing', TargetKeyId: { 'Fn::GetAtt': [key?.[0], 'Arn'] } },
    ]);
  });

  test('rotation: the first number signs, the others are honoured', () => {
    const keyIds = (signingKeys: string): readonly string[] => {
      const { data, operations } = templates({ signingKeys });
      expect(resourcesOf(data, 'AWS::KMS::Alias')[0]?.Properties['TargetKeyId']).toEqual({
        'Fn::GetAtt': [expect.stringMatching(`^SigningKey${signingKeys[0]}`), 'Arn'],
      });
      const [entry] = resourcesOf(operations, 'AWS::Lambda::Function');
      const { Variables } = entry?.Properties['Environment'] as { Variables: Record<string, unknown> };
      return [...JSON.stringify(Variables['ROOT_KEY_IDS']).matchAll(/SigningKey(\d)/g)].map(([, number]) => number!);
    };
    expect([keyIds('1'), keyIds('1,2'), keyIds('2,1'), keyIds('2')]).toEqual([['1'], ['1', '2'], ['2', '1'], ['2']]);
  });

  test('a key that is honoured only can be read, not used', () => {
    const { operations } = templates({ signingKeys: '2,1' });
    const statements = resourcesOf(operations, 'AWS::IAM::Policy').flatMap(
      ({ Properties }) =>
        (Properties['PolicyDocument'] as { Statement: { Action: string | string[]; Resource: unknown }[] }).Statement,
    );
    const signing = statements.filter(({ Action }) => [Action].flat().includes('kms:Sign'));
    expect(signing.length).toBeGreaterThan(0);
    for (const { Resource } of signing) {
      expect(JSON.stringify(Resource)).toContain('SigningKey2');
      expect(JSON.stringify(Resource)).not.toContain('SigningKey1');
    }
  });
});

describe('nothing secret', () => {
  test('environment variables hold names, addresses and choices', () => {
    const harmless = new Set([...Object.keys(environmentSchema.shape), 'NODE_OPTIONS']);
    const names = all.flatMap((template) =>
      resourcesOf(template, 'AWS::Lambda::Function').flatMap(({ Properties }) =>
        Object.keys((Properties['Environment'] as { Variables?: object } | undefined)?.Variables ?? {}),
      ),
    );
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !harmless.has(name) && !name.startsWith('AWS_'))).toEqual([]);
    expect([...harmless].filter((name) => /SECRET|TOKEN|PASSWORD|PRIVATE/i.test(name))).toEqual([]);
  });

  test('no template resolves a secret, keeps one, or asks for one as a parameter', () => {
    for (const template of all) {
      const text = JSON.stringify(template.toJSON());
      expect(text).not.toMatch(/resolve:(secretsmanager|ssm-secure)|AWS::SecretsManager|BEGIN [A-Z ]*PRIVATE KEY/);
      const { Parameters = {} } = template.toJSON() as { Parameters?: Record<string, { Default?: string }> };
      for (const { Default } of Object.values(Parameters)) expect(Default).toMatch(/^\/cdk-bootstrap\//);
    }
  });

  test('outputs are names and addresses', () => {
    const outputs = all.flatMap((template) => Object.keys(template.findOutputs('*')));
    const exported = /^ExportsOutput(Ref|FnGetAtt)/;
    expect(outputs.filter((name) => !exported.test(name)).toSorted()).toEqual(
      expect.arrayContaining(['ApiUrl', 'HeartbeatUrl', 'RoutesUrl', 'SigningKeyAlias']),
    );
    expect(outputs.filter((name) => /secret|token|password|private/i.test(name))).toEqual([]);
  });

  test('execution histories and logs of state machines hold no inputs (template only)', () => {
    const machines = resourcesOf(built.operations, 'AWS::StepFunctions::StateMachine');
    expect(machines.length).toBeGreaterThan(0);
    for (const { Properties } of machines)
      expect(Properties['LoggingConfiguration']).toMatchObject({ IncludeExecutionData: false });
  });
});

test('the function that tells the addresses of the hot calls is told them; the others are not', () => {
  const told = resourcesOf(built.api, 'AWS::Lambda::Function').flatMap(({ Properties }) => {
    const { Variables = {} } = (Properties['Environment'] ?? {}) as { Variables?: Record<string, unknown> };
    return 'HEARTBEAT_URL' in Variables ? [{ of: Properties['Description'], routes: 'ROUTES_URL' in Variables }] : [];
  });
  expect(told).toEqual([{ of: 'API: cluster', routes: true }]);
});
