import { EVENT_PARTITIONS, EVENT_SOURCE, SEQUENCED_PARTITIONS } from '../../infra/operations-stack.ts';
import { EVENT_SOURCE as PUBLISHED_SOURCE } from '../../shared/adapters/event-bridge.ts';
import { shardId } from '../../shared/domain/ids.ts';
import { entities } from '../../shared/store/entities.ts';
import { namedResources, resourcesOf, templates } from './support.ts';

/** Stream -> publisher -> bus -> rule -> queue, and where what fails goes. */
let operations: ReturnType<typeof templates>['operations'];
beforeAll(() => {
  ({ operations } = templates());
});

const queueNamed = (name: string): string => {
  const found = Object.keys(namedResources(operations, 'AWS::SQS::Queue')).filter((id) => id.startsWith(name));
  expect(found).toHaveLength(1);
  return found[0]!;
};
const arnOf = (logicalId: string) => ({ 'Fn::GetAtt': [logicalId, 'Arn'] });

test('what infra knows of events is what the store and the publisher do', () => {
  expect(EVENT_SOURCE).toBe(PUBLISHED_SOURCE);
  expect(entities.event.partitionKey({ hour: '2026-11-20T20', bucket: 3 }).startsWith(EVENT_PARTITIONS)).toBe(true);
  expect(entities.audit.partitionKey({ entity: 'node:a' }).startsWith(EVENT_PARTITIONS)).toBe(false);
});

const mappings = () => resourcesOf(operations, 'AWS::Lambda::EventSourceMapping').map(({ Properties }) => Properties);

test('what is numbered in feeds wakes the sequencer, which is tried until it succeeds (template only)', () => {
  expect(mappings().filter(({ DestinationConfig }) => DestinationConfig === undefined)).toEqual([
    expect.objectContaining({
      StartingPosition: 'TRIM_HORIZON',
      FilterCriteria: {
        Filters: [
          {
            Pattern: JSON.stringify({
              eventName: ['INSERT'],
              dynamodb: { Keys: { pk: { S: SEQUENCED_PARTITIONS.map((prefix) => ({ prefix })) } } },
            }),
          },
        ],
      },
    }),
  ]);
  // Without a number of attempts Lambda goes on until the stream drops the record.
  expect(mappings().filter((mapping) => mapping['MaximumRetryAttempts'] === undefined)).toHaveLength(1);
  const prefixes: readonly string[] = SEQUENCED_PARTITIONS;
  const partitions = [
    entities.routeVersion.partitionKey({ shardId: shardId('s') }),
    entities.decision.partitionKey({ entity: 'cluster' }),
  ];
  expect(partitions.map((partition) => prefixes.findIndex((prefix) => partition.startsWith(prefix)))).toEqual([0, 1]);
  // What the sequencer writes itself does not wake it.
  expect(prefixes.some((prefix) => entities.feedPack.partitionKey({ feed: 'x' }).startsWith(prefix))).toBe(false);
});

test('the publisher is woken by new events alone, and a batch that fails for good is kept (template only)', () => {
  expect(mappings().filter(({ DestinationConfig }) => DestinationConfig !== undefined)).toEqual([
    expect.objectContaining({
      BisectBatchOnFunctionError: true,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      MaximumRetryAttempts: 10,
      StartingPosition: 'TRIM_HORIZON',
      DestinationConfig: { OnFailure: { Destination: arnOf(queueNamed('UnpublishedEvents')) } },
      FilterCriteria: {
        Filters: [
          {
            Pattern: JSON.stringify({
              eventName: ['INSERT'],
              dynamodb: { Keys: { pk: { S: [{ prefix: EVENT_PARTITIONS }] } } },
            }),
          },
        ],
      },
    }),
  ]);
});

test('a rule of the bus brings every event of ours to the queue; what can not be delivered is kept', () => {
  const rules = resourcesOf(operations, 'AWS::Events::Rule').filter(({ Properties }) => Properties['EventPattern']);
  expect(rules.map(({ Properties }) => Properties)).toEqual([
    expect.objectContaining({
      EventPattern: { source: [PUBLISHED_SOURCE] },
      State: 'ENABLED',
      Targets: [
        expect.objectContaining({
          Arn: arnOf(queueNamed('Events')),
          DeadLetterConfig: { Arn: arnOf(queueNamed('UndeliveredEvents')) },
        }),
      ],
    }),
  ]);
  expect(JSON.stringify(rules[0]?.Properties['EventBusName'])).toContain('Bus');
});

test('a message that listeners fail on five times leaves the queue for the dead letters', () => {
  expect(namedResources(operations, 'AWS::SQS::Queue')[queueNamed('Events')]?.Properties).toMatchObject({
    RedrivePolicy: { deadLetterTargetArn: arnOf(queueNamed('UndeliveredEvents')), maxReceiveCount: 5 },
    SqsManagedSseEnabled: true,
  });
});

test('someone is told when events wait among the dead (template only)', () => {
  const watched = resourcesOf(operations, 'AWS::CloudWatch::Alarm')
    .filter(({ Properties }) => Properties['MetricName'] === 'ApproximateNumberOfMessagesVisible')
    .map(({ Properties }) => JSON.stringify(Properties['Dimensions']));
  expect(watched).toHaveLength(2);
  for (const name of ['UnpublishedEvents', 'UndeliveredEvents']) {
    expect(watched.some((dimensions) => dimensions.includes(queueNamed(name)))).toBe(true);
  }
});
