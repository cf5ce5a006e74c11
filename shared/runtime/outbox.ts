import { lambdaEventPublisher } from '#lambda-deps';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent } from 'aws-lambda';
import type { EventPublisher } from '../adapters/event-bridge.ts';
import type { Logger } from '../domain/environment.ts';
import type { EventRecord, Json } from '../domain/records.ts';
import { invariant } from '../domain/result.ts';
import { entities } from '../store/entities.ts';
import { STORE_ATTRIBUTES } from '../store/limits.ts';
import { jsonLogger } from './system.ts';

/**
 * Outbox: events are committed with the change that they tell of; the stream of their table carries them to the bus. At least once:
 * the stream delivers a record again when its batch failed, when the function died, or for no reason that one could see.
 */
export type PublisherSource = () => Promise<EventPublisher>;

/**
 * Publishes what a batch of the stream holds and answers with the records that failed, lowest sequence number first (the stream's own
 * order). The event source mapping must have `ReportBatchItemFailures`; Lambda then goes on from the lowest failed record, and what
 * arrived before it is not sent again. WITHOUT that setting Lambda ignores the answer, and failed events are lost.
 * Throws if nothing could be tried: then the whole batch is sent again.
 */
export const publishEventsHandler =
  (source: PublisherSource, log: Logger = processLogger) =>
  async (batch: DynamoDBStreamEvent): Promise<DynamoDBBatchResponse> => {
    const failed = new Map<DynamoDBRecord, { readonly code: string; readonly message: string }>();
    const records = new Map<EventRecord, DynamoDBRecord>();
    for (const record of batch.Records) {
      try {
        const event = newEventOf(record);
        if (event !== null) records.set(event, record);
      } catch (error) {
        // Written by a release that this one can't read, or damaged: it must not take the readable ones along.
        failed.set(record, { code: 'EVENT_UNREADABLE', message: String(error) });
      }
    }
    if (records.size > 0) {
      const publisher = await source();
      for (const { event, code, message } of await publisher.publish([...records.keys()])) {
        const record = records.get(event);
        invariant(record !== undefined, 'a publisher answers for the events that it was given');
        failed.set(record, { code, message });
      }
    }
    return {
      batchItemFailures: batch.Records.flatMap((record) => {
        const reason = failed.get(record);
        if (reason === undefined) return [];
        const sequenceNumber = record.dynamodb?.SequenceNumber;
        invariant(sequenceNumber !== undefined, 'a stream record has a sequence number');
        log.warn('event-not-published', { sequenceNumber, ...reason });
        return [{ itemIdentifier: sequenceNumber }];
      }),
    };
  };

const processLogger = jsonLogger((line) => void process.stdout.write(`${line}\n`), {
  function: process.env['AWS_LAMBDA_FUNCTION_NAME'] ?? null,
});

/** The event that a stream record brought into being; null for anything else: the table also holds audit entries and more. */
function newEventOf(record: DynamoDBRecord): EventRecord | null {
  const item = insertedItem(record);
  return item === null ? null : eventOf(item, item.body);
}

/** The item that a stream record brought into being; null if it tells of a change or a removal. */
export function insertedItem(
  record: DynamoDBRecord,
): { readonly pk: unknown; readonly sk: unknown; readonly body: { readonly [field: string]: Json } } | null {
  const image = record.dynamodb?.NewImage;
  if (record.eventName !== 'INSERT' || image === undefined) return null;
  const item = unmarshall(image as Record<string, AttributeValue>) as Record<string, Json>;
  const { partitionKey, sortKey, revision, writeId } = STORE_ATTRIBUTES;
  const { [partitionKey]: pk, [sortKey]: sk, [revision]: _revision, [writeId]: _writeId, ...body } = item;
  return { pk, sk, body };
}

/** The event that an item of the events table holds; null if it holds something else. */
export function eventOf(
  key: { pk: unknown; sk: unknown },
  body: { readonly [field: string]: Json },
): EventRecord | null {
  const isEvent = typeof key.pk === 'string' && key.pk.startsWith(EVENT_PARTITION_PREFIX);
  return isEvent ? entities.event.codec.decode(body) : null;
}

/** What partition keys of events start with, before hour and bucket. */
const EVENT_PARTITION_PREFIX = entities.event.partitionKey({ hour: '', bucket: 0 }).split('#')[0] + '#';

export const lambdaPublisher: PublisherSource = () => lambdaEventPublisher();
