import type { EventBridgeClient, PutEventsRequestEntry } from '@aws-sdk/client-eventbridge';
import { PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { utf8Bytes } from '../domain/keys.ts';
import type { EventRecord, Json } from '../domain/records.ts';
import { invariant } from '../domain/result.ts';

/** An event that did not reach the bus, as far as is known: it may have, so that sending it again makes a duplicate. */
export interface UnpublishedEvent {
  readonly event: EventRecord;
  /** Error code of the bus, or the name of the error that the call threw. */
  readonly code: string;
  readonly message: string;
}

/** The way of committed events to those who listen. At least once: listeners know an event by the `event_id` in its detail. */
export interface EventPublisher {
  /** Publishes events in order and returns those that did not arrive, in the same order. Never throws for a bus that fails. */
  publish(events: readonly EventRecord[]): Promise<readonly UnpublishedEvent[]>;
}

/** Entries of one PutEvents call (EventBridge quota). */
const ENTRIES_MAX = 10;
/**
 * Bytes of one PutEvents call, and so of one entry. AWS takes 1 MB since 2026, but queues and other targets that were made before, and
 * emulators, hold to the 256 KB of before. An event of ours has some hundred bytes.
 */
export const REQUEST_BYTES_MAX = 256 * 1024;
/** Bytes that EventBridge counts for an entry's `Time`. */
const TIME_BYTES = 14;
export const EVENT_SOURCE = 'shardkeeper';

interface Outgoing {
  readonly event: EventRecord;
  readonly entry: PutEventsRequestEntry;
  readonly bytes: number;
}

export function createEventBridgePublisher(options: {
  readonly client: EventBridgeClient;
  readonly busName: string;
}): EventPublisher {
  const put = async (batch: readonly Outgoing[]): Promise<readonly UnpublishedEvent[]> => {
    const answer = await options.client.send(new PutEventsCommand({ Entries: batch.map(({ entry }) => entry) }));
    invariant(answer.Entries?.length === batch.length, 'PutEvents answers for every entry');
    return answer.Entries.flatMap(({ ErrorCode: code, ErrorMessage: message }, index) => {
      const sent = batch[index];
      if (code === undefined || sent === undefined) return [];
      return [{ event: sent.event, code, message: message ?? '' }];
    });
  };
  return {
    publish: async (events) => {
      const unpublished: UnpublishedEvent[] = [];
      const batches = inRequests(events.map((event) => outgoing(event, options.busName)));
      for (let next = batches.shift(); next !== undefined; next = batches.shift()) {
        try {
          unpublished.push(...(await put(next)));
        } catch (error) {
          if (isOurs(error) && next.length > 1) {
            // One entry can spoil the call: alone, only that one fails.
            batches.unshift(...next.map((one) => [one]));
            continue;
          }
          unpublished.push(...next.map(({ event }) => ({ event, ...reasonOf(error) })));
          // The bus does not answer or asks for less: what is left would only add to that.
          if (!isOurs(error)) break;
        }
      }
      const unsent = batches.flat();
      return [
        ...unpublished,
        ...unsent.map(({ event }) => ({ event, code: 'NOT_SENT', message: 'the call before failed' })),
      ];
    },
  };
}

function outgoing(event: EventRecord, busName: string): Outgoing {
  const whole = entryOf(event, busName, { payload: event.payload });
  if (whole.bytes <= REQUEST_BYTES_MAX) return whole;
  // Told without its payload, an event still says what happened; held back, it would hold up every event behind it.
  return entryOf(event, busName, { payload: null, payload_omitted_bytes: utf8Bytes(JSON.stringify(event.payload)) });
}

function entryOf(event: EventRecord, busName: string, content: Readonly<Record<string, Json>>): Outgoing {
  const detail = JSON.stringify({
    event_id: event.eventId,
    event_type: event.eventType,
    ...content,
    created_at: new Date(event.createdAtMs).toISOString(),
  });
  const entry = {
    EventBusName: busName,
    Source: EVENT_SOURCE,
    DetailType: event.eventType,
    Time: new Date(event.createdAtMs),
    Detail: detail,
  };
  const bytes = TIME_BYTES + utf8Bytes(EVENT_SOURCE) + utf8Bytes(event.eventType) + utf8Bytes(detail);
  return { event, entry, bytes };
}

/** In order, as few calls as their number and bytes allow. */
function inRequests(entries: readonly Outgoing[]): Outgoing[][] {
  const requests: Outgoing[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const open = requests.at(-1);
    if (open !== undefined && open.length < ENTRIES_MAX && bytes + entry.bytes <= REQUEST_BYTES_MAX) {
      open.push(entry);
      bytes += entry.bytes;
    } else {
      requests.push([entry]);
      bytes = entry.bytes;
    }
  }
  return requests;
}

/** A call that the bus refused for what it says (HTTP 400, other than throttling): another try of the same is refused again. */
function isOurs(error: unknown): boolean {
  const { name, $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } };
  return $metadata?.httpStatusCode === 400 && name?.includes('Throttl') !== true;
}

const reasonOf = (error: unknown): { code: string; message: string } =>
  error instanceof Error ? { code: error.name, message: error.message } : { code: 'UNKNOWN', message: String(error) };
