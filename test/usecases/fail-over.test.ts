import { nodeId } from '../../shared/domain/ids.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { ensureLeader, noteSweep, sweepFencedNode } from '../../shared/usecases/fail-over.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { registerNode } from '../../shared/usecases/nodes.ts';
import { report } from '../../shared/usecases/reports.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import type { NodeReport } from '../../shared/contracts/node/heartbeat.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';
import { evenShards, tiledTable } from '../support/tiles.ts';

const BY = SYSTEM('detector');
const SHARD = 'shard-0000000';

/** `node-2 2/2: r-0-1 OFFLINE@1, r-0-2 IN_SYNC@1` : leader epoch/generation: replica status@entry's node epoch. */
const drawn = (shard: ShardDescriptor): string =>
  `${shard.leader.nodeId} ${shard.epoch}/${shard.generation}: ` +
  shard.replicas.map((replica) => `${replica.nodeId} ${replica.syncStatus}@${replica.nodeEpoch}`).join(', ');

describe('failover in the store (E1, E3, E4, R1)', () => {
  let world: UseCaseWorld;
  beforeEach(async () => {
    world = useCaseWorld();
    await registered(world, 1, 2, 3);
    await world.directory.append(tiledTable, evenShards(3), { principal: 'test', action: 'SHARD_CREATED' });
  });
  afterEach(() => world.close());

  const fence = async (node: number) => {
    const fenced = await fenceNode(world.deps, BY, await world.liveness(node));
    if (fenced === null) throw new Error('the fence was refused');
    return fenced;
  };
  const comeBack = async (node: number, store = `store-${node}`) => {
    const answer = await world.call('registerNode', registerNode, {
      body: {
        node_id: `node-${node}`,
        host: '127.0.0.1',
        port: 7000 + node,
        zone: `z${node}`,
        incarnation: `inc-${node}b`,
        store_uuid: store,
      },
    });
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.node_epoch;
  };
  const reportAs = async (node: number, epoch: number, incarnation: string, one: NodeReport) => {
    const answer = await world.call(
      'report',
      report,
      { params: { node_id: `node-${node}` }, body: { node_epoch: epoch, incarnation, reports: [one] } },
      nodePrincipal(node, epoch, incarnation),
    );
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.results[0]!;
  };

  test('a fence is conditional on the observed sequence: a node that renewed meanwhile is not fenced (L1)', async () => {
    const observed = await world.liveness(1);
    await world.records.observe({
      kind: 'update',
      entity: 'liveness',
      id: { nodeId: nodeId('node-1') },
      set: { sequence: 9 },
      when: [],
    });
    expect(await fenceNode(world.deps, BY, observed)).toBeNull();
    expect((await world.liveness(1)).nodeEpoch).toBe(1);
  });

  test('a fence is conditional on the observed node epoch: a node that registered meanwhile is not fenced (L1)', async () => {
    const observed = await world.liveness(1);
    await fence(1);
    await comeBack(1);
    expect(await fenceNode(world.deps, BY, observed)).toBeNull();
    expect(await world.liveness(1)).toMatchObject({ nodeEpoch: 3, incarnation: 'inc-1b' });
  });

  test('one sweep elects leaders for all shards of the node and tells them; two clean ones close the fence', async () => {
    const fenced = await fence(1);
    expect(await sweepFencedNode(world.deps, BY, fenced)).toEqual({ found: 3, elected: 3, leaderless: [] });
    for (let i = 0; i < 3; i++) {
      const shard = await world.shard(`shard-000000${i}`);
      expect(['node-2', 'node-3']).toContain(shard.leader.nodeId);
      expect(shard).toMatchObject({ epoch: 2, generation: 2 });
      expect(shard.replicas.map((replica) => replica.syncStatus)).toEqual(['OFFLINE', 'IN_SYNC', 'IN_SYNC']);
    }
    expect(world.sent.map((draft) => [draft.type, draft.shard.epoch])).toEqual(Array(3).fill(['become_leader', 2]));

    await noteSweep(world.deps, await world.liveness(1), false);
    for (const expected of [{ cleanSweeps: 1 }, null]) {
      const open = await world.liveness(1);
      const { found } = await sweepFencedNode(world.deps, BY, open);
      expect(found).toBe(0);
      await noteSweep(world.deps, open, true);
      expect((await world.liveness(1)).openFence).toEqual(expected);
    }
  });

  test('whoever registers anew while it is elected is elected under its entry, which is void: its present node epoch is not looked up (E1)', async () => {
    await fence(1);
    const { liveness } = world.deps;
    const of = liveness.of.bind(liveness);
    let reads = 0;
    Object.assign(liveness, {
      of: async (...args: Parameters<typeof of>) => {
        const view = await of(...args);
        if (reads++ === 0)
          for (const node of [2, 3]) {
            await fence(node);
            await comeBack(node);
          }
        return view;
      },
    });
    expect(await ensureLeader(world.deps, BY, SHARD as ShardDescriptor['shardId'], null)).toMatchObject({ ok: true });
    const { leader, replicas, epoch } = await world.shard(SHARD);
    expect(epoch).toBe(2);
    expect(leader.nodeEpoch).toBe(1);
    expect(replicas.find(({ replicaId }) => replicaId === leader.replicaId)?.nodeEpoch).toBe(1);
    expect((await world.liveness(Number(leader.nodeId.slice('node-'.length)))).nodeEpoch).toBe(3);
  });

  test('two sweeps that ran at once count as one (E3)', async () => {
    await sweepFencedNode(world.deps, BY, await fence(1));
    const seenByBoth = await world.liveness(1);
    await noteSweep(world.deps, seenByBoth, true);
    await noteSweep(world.deps, seenByBoth, true);
    expect((await world.liveness(1)).openFence).toEqual({ cleanSweeps: 1 });
  });

  test('shards that the node only followed shrink, and their leaders are told', async () => {
    const fenced = await fence(3);
    expect(await sweepFencedNode(world.deps, BY, fenced)).toEqual({ found: 3, elected: 0, leaderless: [] });
    expect(drawn(await world.shard(SHARD))).toBe('node-1 1/2: node-1 IN_SYNC@1, node-2 IN_SYNC@1, node-3 OFFLINE@1');
    expect(new Set(world.sent.map((draft) => `${draft.type} to ${draft.nodeId}`))).toEqual(
      new Set(['apply_descriptor to node-1']),
    );
  });

  test('with two of three gone the last one leads, the list keeps min_in_sync, and the fence stays open', async () => {
    await sweepFencedNode(world.deps, BY, await fence(3));
    const fenced = await fence(1);
    await sweepFencedNode(world.deps, BY, fenced);
    expect(drawn(await world.shard(SHARD))).toBe('node-2 2/3: node-1 IN_SYNC@1, node-2 IN_SYNC@1, node-3 OFFLINE@1');
    const again = await sweepFencedNode(world.deps, BY, await world.liveness(1));
    expect(again).toEqual({ found: 3, elected: 0, leaderless: [] });
  });

  test("no candidate: the shard stays as it is, and is led as soon as its leader's entry can be proved (E4)", async () => {
    for (const node of [1, 2, 3]) await fence(node);
    expect((await sweepFencedNode(world.deps, BY, await world.liveness(1))).leaderless).toHaveLength(3);
    expect(drawn(await world.shard(SHARD))).toBe('node-1 1/1: node-1 IN_SYNC@1, node-2 IN_SYNC@1, node-3 IN_SYNC@1');

    const epochOfTwo = await comeBack(2);
    const silent = {
      type: 'silent_leader',
      shard_id: SHARD,
      replica_id: 'r-0-2',
      epoch: 1,
      generation: 1,
      log: { last_epoch: 1, last_seq: 9, intact: true },
    } as const;
    const wiped = await reportAs(2, epochOfTwo, 'inc-2b', { ...silent, store_uuid: 'store-other' });
    expect(wiped).toMatchObject({ outcome: 'REFUSED', code: 'NOT_PROVEN' });
    const damaged = await reportAs(2, epochOfTwo, 'inc-2b', {
      ...silent,
      store_uuid: 'store-2',
      log: { ...silent.log, intact: false },
    });
    expect(damaged).toMatchObject({ outcome: 'REFUSED', code: 'NOT_PROVEN' });
    const proven = await reportAs(2, epochOfTwo, 'inc-2b', { ...silent, store_uuid: 'store-2' });
    expect(proven).toMatchObject({
      outcome: 'APPLIED',
      descriptor: { epoch: 2, leader: { node_id: 'node-2', node_epoch: epochOfTwo } },
    });
    expect(drawn(await world.shard(SHARD))).toBe(
      `node-2 2/2: node-1 OFFLINE@1, node-2 IN_SYNC@${epochOfTwo}, node-3 IN_SYNC@1`,
    );
  });

  test('a node that is back is left to its leaders: the sweep does not undo their catching up (R2)', async () => {
    await fence(3);
    await comeBack(3);
    expect((await sweepFencedNode(world.deps, BY, await world.liveness(3))).found).toBe(3);
    expect(drawn(await world.shard(SHARD))).toBe('node-1 1/1: node-1 IN_SYNC@1, node-2 IN_SYNC@1, node-3 IN_SYNC@1');
  });

  test('the leader proposes a caught-up replica under its new session; a stale session is refused', async () => {
    await fence(3);
    const epochOfThree = await comeBack(3);
    const proposal = {
      type: 'replica_status',
      shard_id: SHARD,
      epoch: 1,
      generation: 1,
      replica_id: 'r-0-3',
      store_uuid: 'store-3',
      sync_status: 'IN_SYNC',
    } as const;
    expect(await reportAs(1, 1, 'inc-1', { ...proposal, node_epoch: 2 })).toMatchObject({
      outcome: 'REFUSED',
      code: 'SESSION_STALE',
    });
    const elsewhere = { ...proposal, node_epoch: epochOfThree, store_uuid: 'store-3b' };
    expect(await reportAs(1, 1, 'inc-1', elsewhere)).toMatchObject({ outcome: 'REFUSED', code: 'SESSION_STALE' });
    expect(await reportAs(2, 1, 'inc-2', { ...proposal, node_epoch: epochOfThree })).toMatchObject({
      outcome: 'REFUSED',
      code: 'NOT_LEADER',
    });
    expect(await reportAs(1, 1, 'inc-1', { ...proposal, node_epoch: epochOfThree })).toMatchObject({
      outcome: 'APPLIED',
    });
    expect(drawn(await world.shard(SHARD))).toBe(
      `node-1 1/2: node-1 IN_SYNC@1, node-2 IN_SYNC@1, node-3 IN_SYNC@${epochOfThree}`,
    );
    // The same proposal again, its answer lost: nothing to do, whatever generation it names.
    expect(await reportAs(1, 1, 'inc-1', { ...proposal, node_epoch: epochOfThree })).toMatchObject({
      outcome: 'NOTHING_TO_DO',
    });
    expect(await reportAs(1, 1, 'inc-1', { ...proposal, node_epoch: epochOfThree, epoch: 9 })).toMatchObject({
      outcome: 'REFUSED',
      code: 'EPOCH_STALE',
    });
  });

  test("a report under another incarnation's credential is refused as a whole", async () => {
    const answer = await world.call(
      'report',
      report,
      {
        params: { node_id: 'node-1' },
        body: {
          node_epoch: 1,
          incarnation: 'inc-other',
          reports: [{ type: 'step_down_receipt', shard_id: SHARD, replica_id: 'r-0-1', epoch: 1, generation: 1 }],
        },
      },
      nodePrincipal(1),
    );
    expect(answer).toMatchObject({ ok: false, error: { code: 'NODE_FENCED' } });
  });

  test('a listed replica that a wiped node lost is created anew, but never one that could be elected as it stands', async () => {
    await world.records.commit({
      writes: [
        {
          kind: 'put',
          entity: 'table',
          when: [{ kind: 'absent' }],
          value: {
            table: (await world.shard(SHARD)).table,
            tableId: tiledTable,
            keyType: 'string',
            state: 'ACTIVE',
            replicationFactor: 3,
            replicationFactorIsOwn: false,
            shardCount: 3,
            operationId: 'op-1' as never,
            createdAtMs: 0,
          },
        },
      ],
      audit: [{ entity: 'table:cities', number: 1, action: 'TABLE_CREATED', principal: 'test', detail: null }],
      events: [],
    });
    const missing = {
      type: 'missing_replica',
      shard_id: SHARD,
      epoch: 1,
      generation: 1,
      replica_id: 'r-0-3',
      store_uuid: 'store-3b',
    } as const;
    expect(await reportAs(1, 1, 'inc-1', { ...missing, node_epoch: 1 })).toMatchObject({
      outcome: 'REFUSED',
      code: 'REPLICA_ELECTABLE',
    });
    expect(world.sent).toEqual([]);
    await fence(3);
    const epochOfThree = await comeBack(3, 'store-3b');
    expect(await reportAs(1, 1, 'inc-1', { ...missing, node_epoch: epochOfThree })).toMatchObject({
      outcome: 'APPLIED',
    });
    expect(world.sent.map((draft) => [draft.type, draft.nodeId, draft.replicaId])).toEqual([
      ['create_replica', 'node-3', 'r-0-3'],
    ]);
  });

  test('a leader that is alive but unknown to its follower is told again; one that is stuck is replaced by transfer (R3)', async () => {
    const silent = {
      type: 'silent_leader',
      shard_id: SHARD,
      replica_id: 'r-0-2',
      epoch: 1,
      generation: 1,
      store_uuid: 'store-2',
      log: { last_epoch: 1, last_seq: 0, intact: true },
    } as const;
    expect(await reportAs(2, 1, 'inc-2', { ...silent, silent_ms: 1500 })).toMatchObject({ outcome: 'NOTHING_TO_DO' });
    // In office for long: it knows of its role, and telling it again would only load a store that may be about to fence it.
    expect(world.sent).toEqual([]);
    expect(await reportAs(2, 1, 'inc-2', { ...silent, silent_ms: 6000 })).toMatchObject({ outcome: 'APPLIED' });
    expect((await world.shard(SHARD)).intent).toMatchObject({ kind: 'TRANSFER', targetReplicaId: 'r-0-2' });
    expect(world.sent.at(-1)).toMatchObject({ type: 'step_down', nodeId: 'node-1' });
  });

  test('a copy that nobody lists any more, and that says so, is told to go (R4)', async () => {
    const orphan = {
      type: 'silent_leader',
      shard_id: SHARD,
      replica_id: 'r-removed',
      epoch: 1,
      generation: 1,
      store_uuid: 'store-2',
      silent_ms: 60_000,
      log: { last_epoch: 1, last_seq: 0, intact: true },
    } as const;
    const before = await world.shard(SHARD);
    expect(await reportAs(2, 1, 'inc-2', orphan)).toMatchObject({ outcome: 'REFUSED', code: 'REPLICA_UNKNOWN' });
    expect(world.sent.map((draft) => [draft.type, draft.nodeId, draft.replicaId])).toEqual([
      ['remove_replica', 'node-2', 'r-removed'],
    ]);
    // Another node's copy is listed: its name in a lie removes nothing.
    world.sent.length = 0;
    expect(await reportAs(2, 1, 'inc-2', { ...orphan, replica_id: 'r-0-3' })).toMatchObject({
      code: 'REPLICA_UNKNOWN',
    });
    expect(world.sent).toEqual([]);
    expect(await world.shard(SHARD)).toEqual(before);
  });

  test('a copy of a shard that is not there learns that its range went on elsewhere only from a higher epoch there', async () => {
    await fence(1);
    await sweepFencedNode(world.deps, BY, await world.liveness(1));
    const holder = await world.shard(SHARD);
    expect(holder.epoch).toBe(2);
    const begins = { table_id: holder.tableId, start_key: holder.startKey };
    const ask = async (epoch: number, where?: Record<keyof typeof begins, string>): Promise<unknown> => {
      const { code } = await reportAs(2, 1, 'inc-2', {
        type: 'silent_leader',
        shard_id: 'shard-absorbed',
        replica_id: 'r-absorbed',
        epoch,
        generation: 1,
        store_uuid: 'store-2',
        ...(where === undefined ? {} : { begins: where }),
        log: { last_epoch: 1, last_seq: 0, intact: true },
      });
      return code;
    };
    expect(await ask(1, begins)).toBe('SHARD_ABSORBED');
    // The same epoch or a higher one: metadata of before the copy came into being, perhaps.
    expect(await ask(2, begins)).toBe('SHARD_NOT_FOUND');
    expect(await ask(3, begins)).toBe('SHARD_NOT_FOUND');
    expect(await ask(1, { ...begins, table_id: 'table-unknown' })).toBe('SHARD_NOT_FOUND');
    expect(await ask(1)).toBe('SHARD_NOT_FOUND');
    expect(world.sent.filter(({ type }) => type === 'remove_replica')).toEqual([]);
  });

  test('a leader that was just elected and renews is told again when a follower misses it', async () => {
    await fence(1);
    await sweepFencedNode(world.deps, BY, await world.liveness(1));
    const elected = await world.shard(SHARD);
    const [follower] = elected.replicas.filter(({ nodeId: id }) => id !== 'node-1' && id !== elected.leader.nodeId);
    const node = Number(follower!.nodeId.slice('node-'.length));
    world.sent.length = 0;
    const silent = {
      type: 'silent_leader',
      shard_id: SHARD,
      replica_id: follower!.replicaId,
      epoch: 2,
      generation: 2,
      store_uuid: `store-${node}`,
      silent_ms: 1500,
      log: { last_epoch: 1, last_seq: 0, intact: true },
    } as const;
    expect(await reportAs(node, 1, `inc-${node}`, silent)).toMatchObject({ outcome: 'NOTHING_TO_DO' });
    expect(world.sent.map((draft) => [draft.type, draft.nodeId])).toEqual([['become_leader', elected.leader.nodeId]]);
  });

  test('a conflict with another transaction is retried, a lost answer is recognised: one election, one audit entry (S4, I-16)', async () => {
    await fence(1);
    world.faults.once('transact', { refuse: 'TRANSACTION_CONFLICT' });
    const led = ensureLeader(world.deps, BY, (await world.shard(SHARD)).shardId, null);
    await world.timers.advance(1000);
    expect(world.faults.calls.filter((call) => call.method === 'transact')).toHaveLength(7); // 3 registrations, 1 append, 1 fence, 2 attempts
    expect(await led).toMatchObject({ ok: true, value: { kind: 'CHANGED' } });
    const trail = await world.records.query('audit', {
      partition: { entity: `shard:${SHARD}` },
      order: 'forward',
      limit: 10,
    });
    expect(trail.items.map(({ value }) => [value.number, value.action])).toEqual([
      [1, 'SHARD_CREATED'],
      [2, 'LEADER_ELECTED'],
    ]);
  });
});
