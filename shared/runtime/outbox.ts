import { lambdaEventPublisher } from '#lambda-deps';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { DynamoDBStreamEvent } from 'aws-lambda';
import type { EventPublisher } from '../adapters/event-bridge.ts';
import type { EventRecord, Json } from '../domain/records.ts';
import { entities } from '../store/entities.ts';
import { STORE_ATTRIBUTES } from '../store/limits.ts';

/** Outbox: events are committed with the change that they tell of; the stream of their table carries them to the bus. */
export type PublisherSource = () => Promise<EventPublisher>;

export const publishEventsHandler =
  (source: PublisherSource) =>
  async (event: DynamoDBStreamEvent): Promise<void> => {
    const events = eventsOf(event);
    if (events.length === 0) return;
    const publisher = await source();
    await publisher.publish(events);
  };

/** New event records of a batch, in the stream's order. The table also holds audit entries; those stay. */
export function eventsOf(batch: DynamoDBStreamEvent): readonly EventRecord[] {
  return batch.Records.flatMap((record) => {
    const image = record.dynamodb?.NewImage;
    if (record.eventName !== 'INSERT' || image === undefined) return [];
    const item = unmarshall(image as Record<string, AttributeValue>) as Record<string, Json>;
    const event = eventOf({ pk: item[STORE_ATTRIBUTES.partitionKey], sk: item[STORE_ATTRIBUTES.sortKey] }, item);
    return event === null ? [] : [event];
  });
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
