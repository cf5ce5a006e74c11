import { TTL_FIELD } from '../../shared/store/codec.ts';
import type { Template } from 'aws-cdk-lib/assertions';
import { STAGES } from '../../infra/stages.ts';
import type { Stage } from '../../infra/stages.ts';
import { resourcesOf, templates } from './support.ts';

/** What only AWS has (deletion policies, backups, keys, retention) is asserted on the templates. */
type Templates = ReturnType<typeof templates>;
let of: Readonly<Record<Stage, Templates>>;
let withKey: Templates;
beforeAll(() => {
  of = Object.fromEntries(STAGES.map((stage) => [stage, templates({ stage })])) as unknown as typeof of;
  withKey = templates({ encryption: 'customer-key' });
});

const all = ({ data, operations, api }: Templates): readonly Template[] => [data, operations, api];
const tablesOf = (stage: Templates) => resourcesOf(stage.data, 'AWS::DynamoDB::Table');

/** Names that are given, not made up by CloudFormation. */
function physicalNames(stage: Templates): readonly string[] {
  const names = all(stage).flatMap((template) =>
    Object.values((template.toJSON() as { Resources: Record<string, { Properties?: object }> }).Resources).flatMap(
      ({ Properties = {} }) =>
        Object.entries(Properties)
          .filter(([name]) => /^(TableName|StateMachineName|AlarmName|AliasName)$/.test(name))
          .map(([, value]) => String(value)),
    ),
  );
  const named = ['AWS::Events::EventBus', 'AWS::ApiGateway::RestApi'].flatMap((type) =>
    all(stage).flatMap((template) => resourcesOf(template, type).map(({ Properties }) => String(Properties['Name']))),
  );
  return [...names, ...named];
}

describe('several environments in one account', () => {
  test.each(STAGES)('every name of %s carries the stage', (stage) => {
    const names = physicalNames(of[stage]);
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect(name).toMatch(new RegExp(`^(alias/)?shardkeeper-${stage}\\b`));
  });

  test('no name is in two stages', () => {
    const names = STAGES.flatMap((stage) => [...new Set(physicalNames(of[stage]))]);
    expect(new Set(names).size).toBe(names.length);
  });

  test('a forgotten stage is dev, never production', () => {
    expect(physicalNames(templates())).toEqual(physicalNames(of.dev));
  });

  test('every table is tagged with application, cluster and stage (template only)', () => {
    for (const table of tablesOf(of.staging)) {
      expect(table.Properties['Tags']).toEqual([
        { Key: 'application', Value: 'shardkeeper' },
        { Key: 'cluster', Value: 'shardkeeper' },
        { Key: 'stage', Value: 'staging' },
      ]);
    }
  });
});

describe('data at rest (template only: emulators keep none of it)', () => {
  test.each<[Stage, string, boolean, boolean]>([
    ['dev', 'Delete', false, false],
    ['staging', 'Delete', false, true],
    ['prod', 'Retain', true, true],
  ])('%s: tables are on %s, deletion protection %s, point-in-time recovery %s', (stage, policy, guarded, backups) => {
    const tables = tablesOf(of[stage]);
    expect(tables).toHaveLength(6);
    for (const table of tables) {
      expect(table).toMatchObject({
        DeletionPolicy: policy,
        Properties: {
          DeletionProtectionEnabled: guarded,
          PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: backups },
          TimeToLiveSpecification: { AttributeName: TTL_FIELD, Enabled: true },
          SSESpecification: { SSEEnabled: true },
        },
      });
    }
    const keys = resourcesOf(of[stage].data, 'AWS::KMS::Key');
    expect(keys.map(({ DeletionPolicy }) => DeletionPolicy)).toEqual([policy]);
  });

  test('a customer key rotates and holds tables and queues', () => {
    const keyOf = (value: unknown): void =>
      expect(JSON.stringify(value)).toMatch(/"Key[0-9A-F]{8}|KeyArn|ExportsOutput\w+Key/);
    withKey.data.hasResourceProperties('AWS::KMS::Key', { EnableKeyRotation: true });
    for (const table of tablesOf(withKey)) {
      expect(table.Properties['SSESpecification']).toMatchObject({ SSEType: 'KMS' });
      keyOf(table.Properties['SSESpecification']);
    }
    const queues = resourcesOf(withKey.operations, 'AWS::SQS::Queue');
    expect(queues).toHaveLength(3);
    for (const queue of queues) keyOf(queue.Properties['KmsMasterKeyId']);
  });

  test('without one there is no key to pay for but the root', () => {
    const keys = resourcesOf(of.prod.data, 'AWS::KMS::Key');
    expect(keys.map(({ Properties }) => Properties['KeySpec'])).toEqual(['ECC_NIST_P256']);
  });
});

test.each<[Stage, number, string]>([
  ['dev', 7, 'Delete'],
  ['staging', 30, 'Delete'],
  ['prod', 90, 'Retain'],
])('%s: every function and state machine logs to a group of %i days (template only)', (stage, days, policy) => {
  const { api, operations } = of[stage];
  for (const template of [api, operations]) {
    const groups = resourcesOf(template, 'AWS::Logs::LogGroup');
    const functions = resourcesOf(template, 'AWS::Lambda::Function');
    expect(groups.length).toBeGreaterThanOrEqual(functions.length);
    for (const group of groups) {
      expect(group).toMatchObject({ DeletionPolicy: policy, Properties: { RetentionInDays: days } });
    }
    for (const { Properties } of functions) {
      expect(Properties['LoggingConfig']).toEqual({ LogGroup: { Ref: expect.any(String) as string } });
    }
  }
});

test.each([
  { prefix: 'UPPER' },
  { lease: 'slow' },
  { target: 'azure' },
  { replicationFactor: 0 },
  { stage: 'production' },
  { region: 'mars' },
  { encryption: 'none' },
  { detectorConcurrency: 'many' },
  { signingKeys: '1,1' },
  { signingKeys: 'one' },
])('a wrong context is refused by name: %j', (context) => {
  expect(() => templates(context)).toThrow(`context ${Object.keys(context)[0]}`);
});
