import { lambdaPublisher, publishEventsHandler } from '../shared/runtime/outbox.ts';

/** Stream of the events table -> event bus: the outbox's second half. The stream sends again from the first record that failed. */
export const create = publishEventsHandler;

export const handler = create(lambdaPublisher);
