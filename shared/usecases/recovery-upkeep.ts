import { currentInSync } from '../domain/membership.ts';
import { nextGeneration } from '../domain/ids.ts';
import type { ShardRecovery } from '../domain/records.ts';
import { ok } from '../domain/result.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { Deps, Principal, RecordWrite, Stored } from '../ports.ts';
import { changeLocated } from './descriptor-change.ts';
import { announceDescriptors } from './fail-over.ts';
import { readLiveness } from './liveness-view.ts';
import { principalName } from './principal.ts';
import { wantedMinInSync } from './recovery.ts';

/** What follows a recovery by hand: `min_in_sync` comes back as soon as enough copies are in sync again (PROTOCOL, "min_in_sync change"). */

/** Recoveries looked at in one tick. They are few; a longer list is worked off in the order of shard ids as the first ones end. */
const RECOVERIES_PER_TICK = 500;
const CONCURRENCY = 8;

export async function restoreMinInSync(deps: Deps, by: Principal): Promise<void> {
  const page = await deps.records.query('shardRecovery', {
    partition: {},
    order: 'forward',
    limit: RECOVERIES_PER_TICK,
  });
  await mapBounded(page.items, CONCURRENCY, (stored) => restore(deps, by, stored));
}

async function restore(deps: Deps, by: Principal, stored: Stored<'shardRecovery'>): Promise<void> {
  const recovery = stored.value;
  const located = await deps.directory.locate(recovery.shardId);
  if (located === null) return drop(deps, by, stored);
  const wanted = await wantedMinInSync(deps, recovery);
  // An operation that changes the replicas brings min_in_sync to what it shall be by itself (I-9).
  if (located.shard.minInSync >= wanted || located.shard.state.kind !== 'ACTIVE') return;
  const view = await readLiveness(
    deps,
    located.shard.replicas.map((replica) => replica.nodeId),
  );
  if (currentInSync(located.shard, view).length < wanted) return;
  const outcome = await changeLocated(
    deps,
    located,
    {
      principal: by,
      action: 'MIN_IN_SYNC_CHANGED',
      detail: { recovery: recovery.kind },
      also: () => (recovery.kind === 'SHRINK' ? [deletion(recovery, stored)] : []),
    },
    (shard) => ok({ ...shard, generation: nextGeneration(shard.generation), minInSync: wanted }),
  );
  if (outcome.ok && outcome.value !== 'RACED') await announceDescriptors(deps, [outcome.value.shard]);
}

const deletion = (recovery: ShardRecovery, stored: Stored<'shardRecovery'>): RecordWrite => ({
  kind: 'delete',
  entity: 'shardRecovery',
  id: { shardId: recovery.shardId },
  when: [{ kind: 'revision', is: stored.revision }],
});

/** The shard is gone with its table, or was merged into another. */
async function drop(deps: Deps, by: Principal, stored: Stored<'shardRecovery'>): Promise<void> {
  await deps.records.commit({
    writes: [deletion(stored.value, stored)],
    audit: [
      {
        entity: `recovery:${stored.value.shardId}:${stored.value.generation}`,
        number: 1,
        action: 'RECOVERY_DROPPED',
        principal: principalName(by),
        detail: {},
      },
    ],
    events: [],
  });
}
