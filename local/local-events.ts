import type { Logger } from '../shared/ports.ts';
import { eventOf } from '../shared/runtime/outbox.ts';
import type { CommittedWrite } from '../shared/store/faults.ts';

/** The outbox's second half on one machine: committed events go to the control plane's log, where the cloud has a bus. */
export const localEvents =
  (log: Logger) =>
  (writes: readonly CommittedWrite[]): void => {
    for (const { key, before, after } of writes) {
      if (key.table !== 'events' || before !== null || after === null) continue;
      const event = eventOf(key, after.body);
      if (event !== null) log.info('event', { type: event.eventType, id: event.eventId, payload: event.payload });
    }
  };
