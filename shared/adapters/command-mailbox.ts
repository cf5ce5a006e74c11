import type { Clock, Logger } from '../domain/environment.ts';
import type { CommandId, NodeId } from '../domain/ids.ts';
import type { PackPlace } from '../domain/lease.ts';
import { packedLease } from '../domain/liveness-pack.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { CommandRecord, Json } from '../domain/records.ts';
import type { Records, Stored } from '../ports.ts';

/** Store requests in flight at once: hides latency and leaves the partitions their share. */
const STORE_REQUESTS_MAX = 32;
/** Rounds of one reading of a mailbox: each but the last removes a page of expired commands. */
const READ_ROUNDS_MAX = 20;

export interface MailboxParts {
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Commands that wait for their node: one record each, and a counter (`mail`) in the node's liveness item that tells of new ones. */
export interface CommandMailbox {
  /** Stores commands. Nobody is told yet. */
  keep(commands: readonly CommandRecord[]): Promise<void>;
  /** Tells nodes that commands were stored for them: the next heartbeat fetches them. */
  notify(nodeIds: readonly NodeId[]): Promise<void>;
  find(nodeId: NodeId, commandId: CommandId): Promise<CommandRecord | null>;
  discard(commands: readonly { readonly nodeId: NodeId; readonly commandId: CommandId }[]): Promise<void>;
  /** Up to `limit` commands, oldest first. Expired ones are dropped, with the batches that waited for them. */
  read(nodeId: NodeId, limit: number): Promise<readonly Json[]>;
}

export function createCommandMailbox({ records, clock, log }: MailboxParts): CommandMailbox {
  const discard: CommandMailbox['discard'] = async (commands) => {
    await mapBounded(commands, STORE_REQUESTS_MAX, ({ nodeId, commandId }) =>
      records.observe({ kind: 'delete', entity: 'command', id: { nodeId, commandId }, when: [] }),
    );
  };

  /** A batch whose command expired is waited for by nobody: a task's timeout is shorter than a command's life. */
  const drop = async (expired: readonly CommandRecord[]): Promise<void> => {
    const batches = new Set(expired.flatMap(({ batchId }) => (batchId === null ? [] : [batchId])));
    for (const batchId of batches)
      await records.observe({ kind: 'delete', entity: 'commandBatch', id: { batchId }, when: [] });
    await discard(expired);
    log.info('commands expired', { nodeId: expired[0]?.nodeId, count: expired.length });
  };

  /** The same for a node whose lease, and with it the counter, is in a pack. */
  const notifyPacked = async (nodeId: NodeId, { packId, slot }: PackPlace): Promise<void> => {
    const pack = (await records.get('livenessPack', { packId }))?.value ?? null;
    const mail = pack === null ? undefined : packedLease(pack, slot, nodeId)?.mail;
    // The lease just moved: a registration or a fence raises the counter as it takes it along, after our commands were stored.
    if (mail === undefined) return;
    await records.observe({
      kind: 'update',
      entity: 'livenessPack',
      id: { packId },
      set: {},
      entries: [{ kind: 'set', field: 'mail', entry: slot, value: mail + 1 }],
      when: [{ kind: 'equals', field: ['mail', slot], value: mail }],
    });
  };

  return {
    keep: async (commands) => {
      await mapBounded(commands, STORE_REQUESTS_MAX, (value) =>
        // Command ids are unique: a failed condition is this very write, repeated.
        records.observe({ kind: 'put', entity: 'command', value, when: [{ kind: 'absent' }] }),
      );
    },
    notify: async (nodeIds) => {
      await mapBounded([...new Set(nodeIds)], STORE_REQUESTS_MAX, async (nodeId) => {
        const liveness = await records.get('liveness', { nodeId });
        if (liveness === null) {
          log.warn('commands kept for an unregistered node', { nodeId });
          return;
        }
        const { mail, pack } = liveness.value;
        if (pack !== null) {
          await notifyPacked(nodeId, pack);
          return;
        }
        // If the condition fails, somebody else raised the counter after our commands were stored: that tells of ours too.
        await records.observe({
          kind: 'update',
          entity: 'liveness',
          id: { nodeId },
          set: { mail: mail + 1 },
          when: [{ kind: 'equals', field: 'mail', value: mail }],
        });
      });
    },
    find: async (nodeId, commandId) => (await records.get('command', { nodeId, commandId }))?.value ?? null,
    discard,
    read: async (nodeId, limit) => {
      const commands: Json[] = [];
      let after: string | undefined;
      for (let round = 0; round < READ_ROUNDS_MAX && commands.length < limit; round++) {
        const page = await records.query('command', {
          partition: { nodeId },
          order: 'forward',
          limit: limit - commands.length,
          ...(after === undefined ? {} : { after }),
        });
        const nowMs = clock.wallMs();
        const isExpired = ({ value }: Stored<'command'>): boolean => value.expiresAtMs <= nowMs;
        const expired = page.items.filter(isExpired).map(({ value }) => value);
        if (expired.length > 0) await drop(expired);
        commands.push(...page.items.filter((item) => !isExpired(item)).map(({ value }) => value.command));
        if (page.next === null) break;
        after = page.next;
      }
      return commands;
    },
  };
}
