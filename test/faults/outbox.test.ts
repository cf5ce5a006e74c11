import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import type { PutEventsCommandInput, PutEventsResultEntry } from '@aws-sdk/client-eventbridge';
import { marshall } from '@aws-sdk/util-dynamodb';
import { mockClient } from 'aws-sdk-client-mock';
import type { DynamoDBBatchResponse, DynamoDBRecord } from 'aws-lambda';
import { create } from '../../functions/publish-events.ts';
import { createEventBridgePublisher, REQUEST_BYTES_MAX } from '../../shared/adapters/event-bridge.ts';
import type { EventRecord } from '../../shared/domain/records.ts';
import { utf8Bytes } from '../../shared/domain/keys.ts';
import { entities, recordKey } from '../../shared/store/entities.ts';
import { memoryLogger } from '../support/environment.ts';

/** Outbox -> bus under every way in which the bus, the stream and the function fail: no event is lost, duplicates are known by id. */
const client = mockClient(EventBridgeClient);
let log: ReturnType<typeof memoryLogger>;
let publish: (records: readonly DynamoDBRecord[]) => Promise<DynamoDBBatchResponse>;
beforeEach(() => {
  client.reset();
  log = memoryLogger();
  const publisher = createEventBridgePublisher({ client: new EventBridgeClient({ region: 'x' }), busName: 'bus' });
  const handler = create(() => Promise.resolve(publisher), log);
  publish = (records) => handler({ Records: [...records] });
});

/** 21 digits, as DynamoDB numbers a stream's records: two that a JavaScript number can't tell apart. */
const sequenceNumber = (index: number): string => String(100_000_000_000_000_000_000n + BigInt(index));

const anEvent = (index: number, payload: EventRecord['payload'] = { node_id: `node-${index}` }): EventRecord => ({
  eventId: `evt-${String(index).padStart(4, '0')}`,
  eventType: 'NODE_FENCED',
  payload,
  createdAtMs: 1_000 + index,
});

const inserted = (
  index: number,
  event = anEvent(index),
  body: object = entities.event.codec.encode(event),
): DynamoDBRecord => streamRecord('INSERT', index, recordKey('event', event), body);

function streamRecord(
  eventName: 'INSERT' | 'MODIFY' | 'REMOVE',
  index: number,
  key: { pk: string; sk: string },
  body: object,
): DynamoDBRecord {
  const image = marshall({ pk: key.pk, sk: key.sk, rev: 1, w: 'w', ...body }) as NonNullable<
    NonNullable<DynamoDBRecord['dynamodb']>['NewImage']
  >;
  return { eventName, dynamodb: { SequenceNumber: sequenceNumber(index), NewImage: image } };
}

const many = (count: number): DynamoDBRecord[] => Array.from({ length: count }, (_, index) => inserted(index));
const failuresOf = (...indexes: number[]) => ({
  batchItemFailures: indexes.map((index) => ({ itemIdentifier: sequenceNumber(index) })),
});

/** Ids of the events that a bus took, call by call; `answer` decides on each entry, or throws for the call. */
function aBus(answer: (id: string, entries: number) => PutEventsResultEntry = () => ({})): string[][] {
  const taken: string[][] = [];
  client.on(PutEventsCommand).callsFake((input: PutEventsCommandInput) => {
    const entries = input.Entries ?? [];
    const ids = entries.map((entry) => (JSON.parse(entry.Detail ?? '') as { event_id: string }).event_id);
    const answers = ids.map((id) => answer(id, entries.length));
    taken.push(ids.filter((_, index) => answers[index]?.ErrorCode === undefined));
    return { FailedEntryCount: answers.filter(({ ErrorCode }) => ErrorCode !== undefined).length, Entries: answers };
  });
  return taken;
}

const callError = (name: string, httpStatusCode: number): Error =>
  Object.assign(new Error(`${name}!`), { name, $metadata: { httpStatusCode } });

describe('what arrives', () => {
  test('events in the order of the stream, ten a call, each with its id; audit entries and other changes stay', async () => {
    const taken = aBus();
    const others = [
      streamRecord('INSERT', 90, { pk: 'A#node:node-1', sk: 'A#1' }, { v: 1 }),
      streamRecord('MODIFY', 91, recordKey('event', anEvent(91)), entities.event.codec.encode(anEvent(91))),
    ];
    expect(await publish([...many(23), ...others])).toEqual(failuresOf());
    expect(taken.map((ids) => ids.length)).toEqual([10, 10, 3]);
    expect(taken.flat()).toEqual(many(23).map((_, index) => anEvent(index).eventId));
    expect(client.commandCalls(PutEventsCommand)[0]?.args[0].input.Entries?.[0]).toEqual({
      EventBusName: 'bus',
      Source: 'shardkeeper',
      DetailType: 'NODE_FENCED',
      Time: new Date(1_000),
      Detail:
        '{"event_id":"evt-0000","event_type":"NODE_FENCED","payload":{"node_id":"node-0"},"created_at":"1970-01-01T00:00:01.000Z"}',
    });
  });

  test('a batch without events needs no bus', async () => {
    const handler = create(() => Promise.reject(new Error('no bus')), log);
    const audit = streamRecord('INSERT', 1, { pk: 'A#node:node-1', sk: 'A#1' }, { v: 1 });
    expect(await handler({ Records: [audit] })).toEqual(failuresOf());
  });

  test('late and duplicated records are published again under the same id: listeners know them', async () => {
    const taken = aBus();
    await publish([inserted(7), inserted(7), inserted(3)]);
    await publish([inserted(3)]);
    expect(taken.flat()).toEqual(['evt-0007', 'evt-0007', 'evt-0003', 'evt-0003']);
  });

  test('calls stay below the size of a request, and events keep their order', async () => {
    const taken = aBus();
    const records = Array.from({ length: 9 }, (_, index) =>
      inserted(index, anEvent(index, { text: 'x'.repeat(100_000) })),
    );
    expect(await publish(records)).toEqual(failuresOf());
    expect(taken.map((ids) => ids.length)).toEqual([2, 2, 2, 2, 1]);
    for (const { args } of client.commandCalls(PutEventsCommand)) {
      const bytes = args[0].input.Entries?.reduce((sum, { Detail }) => sum + utf8Bytes(Detail ?? ''), 0) ?? 0;
      expect(bytes).toBeLessThan(REQUEST_BYTES_MAX);
    }
  });

  test('an event above the size of an entry is told without its payload, and holds nothing up', async () => {
    const taken = aBus();
    const payload = { text: 'ä'.repeat(REQUEST_BYTES_MAX / 2) };
    expect(await publish([inserted(0, anEvent(0, payload)), inserted(1)])).toEqual(failuresOf());
    expect(taken.flat()).toEqual(['evt-0000', 'evt-0001']);
    const [first] = client.commandCalls(PutEventsCommand)[0]?.args[0].input.Entries ?? [];
    expect(JSON.parse(first?.Detail ?? '')).toEqual({
      event_id: 'evt-0000',
      event_type: 'NODE_FENCED',
      payload: null,
      payload_omitted_bytes: REQUEST_BYTES_MAX + '{"text":""}'.length,
      created_at: '1970-01-01T00:00:01.000Z',
    });
  });
});

describe('what fails is named, all of it and nothing else, lowest first', () => {
  test('entries that the bus refuses, in the middle of several calls', async () => {
    const refused = new Set(['evt-0004', 'evt-0011', 'evt-0019']);
    const taken = aBus((id) =>
      refused.has(id) ? { ErrorCode: 'ThrottlingException', ErrorMessage: 'slow down' } : {},
    );
    expect(await publish(many(23))).toEqual(failuresOf(4, 11, 19));
    expect(taken.flat()).toHaveLength(20);
    expect(log.lines.map(({ fields }) => fields)).toContainEqual({
      sequenceNumber: sequenceNumber(4),
      code: 'ThrottlingException',
      message: 'slow down',
    });
  });

  test.each([
    ['does not answer', new Error('socket hang up')],
    ['asks for less', callError('ThrottlingException', 400)],
    ['is broken', callError('InternalException', 500)],
  ])(
    'a bus that %s in the second of three calls: that call and what was left, without asking again',
    async (_what, error) => {
      const taken = aBus((id) => {
        if (id === 'evt-0010') throw error;
        return {};
      });
      const left = Array.from({ length: 13 }, (_, index) => 10 + index);
      expect(await publish(many(23))).toEqual(failuresOf(...left));
      expect(taken.flat()).toHaveLength(10);
      expect(client.commandCalls(PutEventsCommand)).toHaveLength(2);
    },
  );

  test('one entry that spoils its call fails alone', async () => {
    const taken = aBus((id) => {
      if (id === 'evt-0013') throw callError('ValidationException', 400);
      return {};
    });
    expect(await publish(many(23))).toEqual(failuresOf(13));
    expect(taken.flat().toSorted()).toEqual(
      many(23)
        .map((_, index) => anEvent(index).eventId)
        .filter((id) => id !== 'evt-0013'),
    );
  });

  test('a record that this release can not read fails alone', async () => {
    const taken = aBus();
    const ahead = inserted(1, anEvent(1), { ...entities.event.codec.encode(anEvent(1)), v: 9 });
    expect(await publish([inserted(0), ahead, inserted(2)])).toEqual(failuresOf(1));
    expect(taken.flat()).toEqual(['evt-0000', 'evt-0002']);
  });

  test('an answer that does not tell about every entry is no success', async () => {
    client.on(PutEventsCommand).resolves({ FailedEntryCount: 0, Entries: [{}] });
    expect(await publish(many(2))).toEqual(failuresOf(0, 1));
  });

  test('no publisher: the whole batch fails, which Lambda sends again', async () => {
    const handler = create(() => Promise.reject(new Error('no environment')), log);
    await expect(handler({ Records: many(1) })).rejects.toThrow('no environment');
  });
});

test('sent again from the lowest failure, as Lambda does it, until nothing fails: every event arrived at least once', async () => {
  // The bus refuses every third entry, each of them twice; each call that holds entry 30 dies once.
  const seen = new Map<string, number>();
  let died = false;
  const taken = aBus((id) => {
    const times = (seen.get(id) ?? 0) + 1;
    seen.set(id, times);
    if (id === 'evt-0030' && !died) {
      died = true;
      throw new Error('socket hang up');
    }
    return Number(id.slice(-4)) % 3 === 0 && times <= 2 ? { ErrorCode: 'InternalFailure' } : {};
  });
  let batch = many(50);
  for (let round = 0; batch.length > 0; round++) {
    expect(round).toBeLessThan(100);
    const lowest = (await publish(batch)).batchItemFailures[0]?.itemIdentifier;
    const from = batch.findIndex(({ dynamodb }) => dynamodb?.SequenceNumber === lowest);
    batch = from < 0 ? [] : batch.slice(from);
  }
  expect(new Set(taken.flat())).toEqual(new Set(many(50).map((_, index) => anEvent(index).eventId)));
});
