import * as z from 'zod';
import type { CommandId, NodeId, OperationId } from '../../domain/ids.ts';
import { OPERATION_TYPES } from '../../domain/records.ts';
import { count, id, json, text, wallMs } from './primitives.ts';

/** Operations, commands to nodes, idempotent answers, configuration, audit and events. */

export const operation = z.object({
  operationId: id<OperationId>(),
  type: z.enum(OPERATION_TYPES),
  status: z.enum(['PENDING', 'RUNNING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'CANCELLED']),
  outcome: z.enum(['APPLIED', 'ROLLED_BACK']).nullable(),
  progress: z.object({ done: count, total: count, unit: text }),
  control: z.enum(['RUN', 'PAUSE', 'CANCEL']).default('RUN'),
  run: z.int().min(1).default(1),
  runSteps: count.default(0),
  runStartedAtMs: wallMs.default(0),
  cancellable: z.boolean().default(true),
  undoing: z.boolean().default(false),
  parentId: id<OperationId>().nullable().default(null),
  plan: json.default(null),
  waitingOn: text.nullable(),
  input: json,
  state: json,
  steps: z.array(z.object({ name: text, atMs: wallMs, detail: text })),
  createdBy: text,
  createdAtMs: wallMs,
  updatedAtMs: wallMs,
  executionArn: text.nullable(),
  pausedUntilMs: wallMs.nullable().exactOptional(),
  error: z.object({ code: text, message: text, step: text.exactOptional() }).nullable(),
});

export const openOperation = z.object({ operationId: id<OperationId>() });

export const operationPart = z.object({
  operationId: id<OperationId>(),
  number: count,
  value: json,
  status: z.enum(['PLANNED', 'RUNNING', 'DONE', 'SKIPPED', 'FAILED']),
  childId: id<OperationId>().nullable(),
  reason: text.nullable(),
  updatedAtMs: wallMs,
});

export const operationSlot = z.object({
  slot: id<string>(),
  operationId: id<OperationId>().nullable(),
  notBeforeMs: wallMs,
  carried: json,
});

export const command = z.object({
  commandId: id<CommandId>(),
  nodeId: id<NodeId>(),
  command: json,
  createdAtMs: wallMs,
  expiresAtMs: wallMs,
  batchId: id<string>().nullable(),
});

export const commandBatch = z.object({
  batchId: id<string>(),
  operationId: id<OperationId>(),
  taskToken: text.nullable(),
  pending: z.array(id<string>()),
  failed: z.array(z.object({ commandId: id<string>(), code: text, message: text })),
  // Batches of an older release end as they always did.
  expiresAtMs: wallMs.default(Number.MAX_SAFE_INTEGER),
});

export const idempotency = z.object({
  scope: text,
  key: id<string>(),
  requestHash: text,
  answer: z.object({ status: z.int(), body: json }).nullable(),
  createdAtMs: wallMs,
  expiresAtMs: wallMs,
  operationId: id<OperationId>().exactOptional(),
});

export const config = z.object({ configKey: id<string>(), configValue: json, updatedAtMs: wallMs });

export const audit = z.object({
  entity: id<string>(),
  number: z.int().min(1),
  action: text,
  principal: text,
  atMs: wallMs,
  detail: json,
});

export const event = z.object({ eventId: id<string>(), eventType: text, payload: json, createdAtMs: wallMs });
