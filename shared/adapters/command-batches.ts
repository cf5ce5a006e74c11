import type { Logger } from '../domain/environment.ts';
import { ACKNOWLEDGED } from '../domain/operation.ts';
import type { CommandBatch } from '../domain/records.ts';
import { StoreError } from '../ports.ts';
import type { OperationStarter, Records } from '../ports.ts';

/** Lost races of one acknowledgement: every other one that gets through shortens the batch. */
const RACES_MAX = 50;

/** How a command of a batch ended. */
export type CommandEnd =
  | { readonly commandId: string; readonly outcome: 'DONE' }
  | { readonly commandId: string; readonly outcome: 'REFUSED'; readonly code: string; readonly message: string };

/** Batches of commands that a waiting task token needs. */
export interface CommandBatches {
  open(batch: CommandBatch): Promise<void>;
  /** Nothing was sent of it after all. Never throws: it expires by itself (`expiresAtMs`). */
  forget(batchId: string): Promise<void>;
  /** Takes ends of commands; answers the task when the last one is DONE or one is REFUSED. Repeated or unknown ends change nothing. */
  settle(batchId: string, ends: readonly CommandEnd[]): Promise<void>;
}

export function createCommandBatches(parts: {
  readonly records: Records;
  readonly operations: OperationStarter;
  readonly log: Logger;
}): CommandBatches {
  const { records, operations, log } = parts;

  /** The token first, the batch after: a crash between them leaves a batch whose repeated end answers the token again. */
  const answerTask = async (batch: CommandBatch): Promise<void> => {
    const refused = batch.failed[0];
    if (refused === undefined && batch.pending.length > 0) return;
    if (batch.taskToken !== null) {
      if (refused === undefined) await operations.succeedTask(batch.taskToken, ACKNOWLEDGED);
      else await operations.failTask(batch.taskToken, refused.code, refused.message);
    }
    const { batchId, operationId } = batch;
    await records.observe({ kind: 'delete', entity: 'commandBatch', id: { batchId }, when: [] });
    log.info('command batch ended', { batchId, operationId, refused: refused?.code ?? null });
  };

  return {
    open: async (batch) => {
      await records.observe({ kind: 'put', entity: 'commandBatch', value: batch, when: [{ kind: 'absent' }] });
    },
    forget: async (batchId) => {
      try {
        await records.observe({ kind: 'delete', entity: 'commandBatch', id: { batchId }, when: [] });
      } catch (error) {
        log.warn('command batch left to expire', { batchId, message: String(error) });
      }
    },
    settle: async (batchId, ends) => {
      for (let race = 0; race < RACES_MAX; race++) {
        const stored = await records.get('commandBatch', { batchId });
        if (stored === null) return; // ended, or superseded by the batch of a redriven step
        const next = withEnds(stored.value, ends);
        if (next !== stored.value) {
          const when = [{ kind: 'revision', is: stored.revision }] as const;
          const saved = await records.observe({ kind: 'put', entity: 'commandBatch', value: next, when });
          if (!saved.ok) continue;
        }
        await answerTask(next);
        return;
      }
      throw new StoreError('TRANSACTION_CONFLICT', `lost ${RACES_MAX} races for command batch ${batchId}`);
    },
  };
}

function withEnds(batch: CommandBatch, ends: readonly CommandEnd[]): CommandBatch {
  const news = new Map(ends.map((end) => [end.commandId, end]));
  const ended = batch.pending.filter((commandId) => news.has(commandId));
  if (ended.length === 0) return batch;
  const failed = ended.flatMap((commandId) => {
    const end = news.get(commandId);
    return end?.outcome === 'REFUSED' ? [{ commandId, code: end.code, message: end.message }] : [];
  });
  return {
    ...batch,
    pending: batch.pending.filter((commandId) => !news.has(commandId)),
    failed: [...batch.failed, ...failed],
  };
}
