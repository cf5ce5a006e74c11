import type { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { PutEventsCommand } from '@aws-sdk/client-eventbridge';
import type { EventRecord } from '../domain/records.ts';
import { invariant } from '../domain/result.ts';

/** The way of committed events to those who listen. At least once: listeners know an event by its id. */
export interface EventPublisher {
  /** Publishes events in order. Throws if one did not arrive; those before it may have. */
  publish(events: readonly EventRecord[]): Promise<void>;
}

/** Entries of one PutEvents call (EventBridge quota). */
const ENTRIES_MAX = 10;
export const EVENT_SOURCE = 'shardkeeper';

export function createEventBridgePublisher(options: {
  readonly client: EventBridgeClient;
  readonly busName: string;
}): EventPublisher {
  return {
    publish: async (events) => {
      for (let start = 0; start < events.length; start += ENTRIES_MAX) {
        const entries = events.slice(start, start + ENTRIES_MAX).map((event) => ({
          EventBusName: options.busName,
          Source: EVENT_SOURCE,
          DetailType: event.eventType,
          Time: new Date(event.createdAtMs),
          Detail: JSON.stringify({
            event_id: event.eventId,
            event_type: event.eventType,
            payload: event.payload,
            created_at: new Date(event.createdAtMs).toISOString(),
          }),
        }));
        const answer = await options.client.send(new PutEventsCommand({ Entries: entries }));
        const refused = answer.Entries?.find((entry) => entry.ErrorCode !== undefined);
        invariant(answer.Entries?.length === entries.length, 'PutEvents answers for every entry');
        // The stream sends the whole batch again; listeners know what they have seen by event id.
        if (refused !== undefined)
          throw new Error(`event bus refused: ${refused.ErrorCode} ${refused.ErrorMessage ?? ''}`);
      }
    },
  };
}
