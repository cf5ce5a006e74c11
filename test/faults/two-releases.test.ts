import { nodeId, tableName } from '../../shared/domain/ids.ts';
import type { CommandAnswer, ItemWrite, MetadataStore, StoredItem } from '../../shared/ports.ts';
import { createDirectory } from '../../shared/store/directory.ts';
import { createLivenessReader } from '../../shared/store/liveness-reader.ts';
import { createRecords } from '../../shared/store/records.ts';
import { createDetectorLease } from '../../shared/usecases/detector-lease.ts';
import { sweepFencedNode } from '../../shared/usecases/fail-over.ts';
import { fenceNode, markExpired } from '../../shared/usecases/fence-node.ts';
import { heartbeat } from '../../shared/usecases/heartbeat.ts';
import { createJoinToken } from '../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { createTable, deleteTable } from '../../shared/usecases/tables.ts';
import { setLeader } from '../../shared/usecases/transfer-leader.ts';
import { hastyTimers } from '../support/environment.ts';
import { operationsOf } from '../support/operations.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

/**
 * Two releases at once (docs/upgrading.md): every record is born as the next release writes it, one schema version ahead, with fields
 * that this release does not know, also in nested objects. Then this release works on all of them, a table's whole life long, and
 * must neither stumble nor drop a field from a record that it changes.
 */
const FUTURE = 'ofNextRelease';
const NESTED = 'ofNextReleaseToo';

/** The store as the next release fills it; `dropped` names the records from which a write of this release took a field. */
function storeOfNextRelease(store: MetadataStore): { store: MetadataStore; dropped: string[]; kept: Set<string> } {
  const dropped: string[] = [];
  const kept = new Set<string>();
  const nextRelease = async (write: ItemWrite): Promise<ItemWrite> => {
    if (write.kind !== 'put') return write;
    if (write.when.some(({ kind }) => kind === 'absent')) return { ...write, body: aheadOf(write.body) };
    const current = await store.get(write.key);
    const [was, is] = [countOf(current?.body ?? {}), countOf(write.body)];
    const name = `${write.key.table} ${write.key.pk} ${write.key.sk}`;
    if (is.future < was.future || write.body['v'] !== current?.body['v']) dropped.push(name);
    else kept.add(write.key.pk.replace(/[#].*/, ''));
    // Every replica that stays keeps its own; a list may have lost members.
    if (is.nested < was.nested && is.replicas === was.replicas) dropped.push(`${name}, nested`);
    return write;
  };
  return {
    dropped,
    kept,
    store: {
      get: (key) => store.get(key),
      getMany: (keys) => store.getMany(keys),
      getSnapshot: (keys) => store.getSnapshot(keys),
      query: (request) => store.query(request),
      write: async (write) => store.write((await nextRelease(write)) as typeof write),
      transact: async (writes) => store.transact(await Promise.all(writes.map(nextRelease))),
    },
  };
}

function aheadOf(body: StoredItem['body']): StoredItem['body'] {
  const replicas = body['replicas'];
  return {
    ...body,
    v: Number(body['v']) + 1,
    [FUTURE]: { since: 'the next release' },
    ...(Array.isArray(replicas)
      ? { replicas: replicas.map((replica) => ({ ...(replica as object), [NESTED]: 7 })) }
      : {}),
  };
}

const countOf = (body: StoredItem['body']): { future: number; nested: number; replicas: number } => {
  const text = JSON.stringify(body);
  return {
    future: text.split(`"${FUTURE}"`).length - 1,
    nested: text.split(`"${NESTED}"`).length - 1,
    replicas: text.split('"replicaId"').length - 1,
  };
};

/** A world whose functions all work on what the next release wrote. */
function nextReleaseWorld(): { world: UseCaseWorld; dropped: string[]; kept: Set<string> } {
  const world = useCaseWorld({ timers: hastyTimers });
  const { store, dropped, kept } = storeOfNextRelease(world.store);
  const { clock, random } = world;
  const records = createRecords(store, { clock, random });
  Object.assign(world.deps, {
    records,
    liveness: createLivenessReader(records),
    directory: createDirectory({ store, records, clock, random }),
  });
  world.answer((draft): CommandAnswer => {
    const { epoch, generation } = draft.shard;
    return { outcome: 'DONE', receipt: draft.type === 'step_down' ? { epoch, generation } : null };
  });
  return { world, dropped, kept };
}

test('nodes, leases, tables, leaders and operations: read, changed, written back, and nothing of the next release is lost', async () => {
  const { world, dropped, kept } = nextReleaseWorld();
  const operations = operationsOf(world);
  try {
    await registered(world, 1, 2, 3, 4);
    const beat = await heartbeat(world.deps, nodePrincipal(1), {
      params: { node_id: 'node-1' },
      query: {},
      body: { node_epoch: 1, incarnation: 'inc-1', sequence: 1, attestation: 1 },
    });
    expect(beat.ok).toBe(true);

    const created = await world.call('createTable', createTable, { body: { table: 'rows', pre_split: ['h', 'q'] } });
    if (!created.ok) throw new Error(created.error.message);
    expect(await operations.ended(created.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });

    const table = await world.records.get('table', { table: tableName('rows') });
    if (table === null) throw new Error('no table');
    const { shards } = await world.deps.directory.scan(table.value.tableId, { fromKey: '' as never, limit: 10 });
    const shard = shards[0]?.shard;
    const follower = shard?.replicas.find(({ replicaId }) => replicaId !== shard.leader.replicaId);
    if (shard === undefined || follower === undefined) throw new Error('no shard with a follower');
    const led = await world.call('setLeader', setLeader, {
      params: { shard_id: shard.shardId },
      body: { new_leader_node_id: follower.nodeId },
    });
    expect(led).toMatchObject({ ok: true, value: { epoch: 2 } });

    // The new leader's node is lost: marked, fenced, failed over, registered again.
    const lost = Number(follower.nodeId.slice('node-'.length));
    await markExpired(world.deps, await world.liveness(lost));
    const fenced = await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(lost));
    if (fenced === null) throw new Error('not fenced');
    expect((await sweepFencedNode(world.deps, SYSTEM('detector'), fenced)).elected).toBeGreaterThan(0);
    await world.call('registerNode', registerNode, {
      body: {
        node_id: follower.nodeId,
        host: '127.0.0.1',
        port: 7100,
        zone: 'z1',
        incarnation: 'inc-new',
        store_uuid: `store-${lost}`,
      },
    });
    expect((await world.records.get('node', { nodeId: nodeId(follower.nodeId) }))?.value.port).toBe(7100);

    const lease = createDetectorLease(world.deps, 'loop-1');
    for (let beats = 0; beats < 3; beats++) await lease.beat(true);
    await lease.release();
    await world.call('createJoinToken', createJoinToken, { body: {} });

    const deleted = await world.call('deleteTable', deleteTable, { params: { table: 'rows' } });
    if (!deleted.ok) throw new Error(deleted.error.message);
    expect(await operations.ended(deleted.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });

    expect(dropped).toEqual([]);
    // What was put back whole: operations, tables, pages and shards, the detector's record.
    for (const partition of ['DETECTOR', 'OPERATIONS', 'P', 'TABLES']) expect(kept).toContain(partition);
  } finally {
    await operations.stop();
    world.close();
  }
});
