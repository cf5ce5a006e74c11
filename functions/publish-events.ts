import { lambdaPublisher, publishEventsHandler } from '../shared/runtime/outbox.ts';

/** Stream of the events table -> event bus: the outbox's second half. Batches that fail are sent again by the stream. */
export const create = publishEventsHandler;

export const handler = create(lambdaPublisher);
