import type { NodeId, TableId } from '../shared/domain/ids.ts';
import type { EncodedKey } from '../shared/domain/ids.ts';
import { isMarkedExpired } from '../shared/domain/detector.ts';
import type { LivenessRecord } from '../shared/domain/lease.ts';
import { compareKeys, KEY_SPACE_START } from '../shared/domain/keys.ts';
import type { Replica, ShardDescriptor } from '../shared/domain/shard.ts';
import type { CommandDraft, Deps } from '../shared/ports.ts';
import { ACKNOWLEDGED } from './step.ts';
import type { StepInput } from './step.ts';

/** What create-table and delete-table do alike with the shards of a table. */

/** Shards that one step works on: with RF 3 about 150 commands, some seconds of work, far under a step's timeout. */
export const SHARDS_PER_STEP = 50;

/** Liveness of nodes whose lease somebody may hold: registered, not released. An expired one may still renew (L1). */
async function heldLeases(deps: Deps, nodeIds: Iterable<NodeId>): Promise<ReadonlyMap<NodeId, LivenessRecord>> {
  const found = await deps.liveness.of(nodeIds);
  return new Map([...found].filter(([, lease]) => lease.incarnation !== null && !lease.released));
}

/** Those of them that are worth a command now: not observed expired. */
const answering = (held: ReadonlyMap<NodeId, LivenessRecord>): ReadonlyMap<NodeId, LivenessRecord> =>
  new Map([...held].filter(([, lease]) => !isMarkedExpired(lease)));

/** Nodes that can be expected to take a command now. */
export const liveNodes = async (deps: Deps, nodeIds: Iterable<NodeId>): Promise<ReadonlyMap<NodeId, LivenessRecord>> =>
  answering(await heldLeases(deps, nodeIds));

/** The next shards of a table from `fromKey`, with the liveness of their nodes. */
export async function shardBatch(
  deps: Deps,
  tableId: TableId,
  fromKey: EncodedKey,
): Promise<{
  shards: readonly ShardDescriptor[];
  held: ReadonlyMap<NodeId, LivenessRecord>;
  live: ReadonlyMap<NodeId, LivenessRecord>;
  nextKey: EncodedKey | null;
}> {
  const page = await deps.directory.scan(tableId, { fromKey, limit: SHARDS_PER_STEP });
  const shards = page.shards.map(({ shard }) => shard);
  const held = await heldLeases(
    deps,
    shards.flatMap((shard) => shard.replicas.map((replica) => replica.nodeId)),
  );
  return { shards, held, live: answering(held), nextKey: page.nextKey };
}

export const draft = (
  type: CommandDraft['type'],
  shard: ShardDescriptor,
  replica: Pick<Replica, 'nodeId' | 'replicaId'>,
): CommandDraft => ({
  nodeId: replica.nodeId,
  type,
  replicaId: replica.replicaId,
  shard,
});

/** Sends commands that the waiting state needs; with nothing to wait for the wait is over at once. */
export async function sendAndWait(deps: Deps, input: StepInput, drafts: readonly CommandDraft[]): Promise<void> {
  if (input.taskToken === null) throw new Error(`step ${input.step} runs in a state that gives a task token`);
  if (drafts.length === 0) {
    await deps.operations.succeedTask(input.taskToken, ACKNOWLEDGED);
    return;
  }
  await deps.commands.sendForTask(drafts, { operationId: input.operationId, taskToken: input.taskToken });
}

/**
 * Tells the nodes of the table's first shards to remove their replicas. Nodes that are down find the command in their
 * mailbox. Returns the key up to which nodes were told: the directory may be removed that far (a replayed removal stops there).
 */
export async function removalDrafts(
  deps: Deps,
  tableId: TableId,
): Promise<{
  told: EncodedKey | null | 'NONE_LEFT';
  toLive: readonly CommandDraft[];
  toDown: readonly CommandDraft[];
}> {
  const { shards, live, nextKey } = await shardBatch(deps, tableId, KEY_SPACE_START);
  if (shards.length === 0) return { told: 'NONE_LEFT', toLive: [], toDown: [] };
  const drafts = shards.flatMap((shard) => shard.replicas.map((replica) => draft('remove_replica', shard, replica)));
  return {
    told: nextKey,
    toLive: drafts.filter(({ nodeId }) => live.has(nodeId)),
    toDown: drafts.filter(({ nodeId }) => !live.has(nodeId)),
  };
}

/** Removes the shards below `told` (null: all that are left) from the directory. Returns how many went. */
export async function removeTold(
  deps: Deps,
  tableId: TableId,
  told: EncodedKey | null,
  action: string,
): Promise<number> {
  const page = await deps.directory.scan(tableId, { fromKey: KEY_SPACE_START, limit: SHARDS_PER_STEP });
  const count = page.shards.filter(({ shard }) => told === null || compareKeys(shard.startKey, told) < 0).length;
  if (count === 0) return 0;
  const { removed } = await deps.directory.removeFirst(tableId, count, { principal: 'system:operation', action });
  return removed.length;
}
