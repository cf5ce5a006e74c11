import type { WireRecoveryPlan } from '../../shared/contracts/api/recovery.ts';
import type { NodeReport } from '../../shared/contracts/node/heartbeat.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { clusterHealth } from '../../shared/usecases/cluster-health.ts';
import { sweepFencedNode } from '../../shared/usecases/fail-over.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { registerNode } from '../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { restoreMinInSync } from '../../shared/usecases/recovery-upkeep.ts';
import { closeRecovery, listRecoveries, recoverShards } from '../../shared/usecases/recovery.ts';
import { report } from '../../shared/usecases/reports.ts';
import { evenShards, tiledTable } from '../support/tiles.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

const BY = SYSTEM('detector');
const SHARD = 'shard-0000000';

describe('recovery after the loss of a quorum (E4)', () => {
  let world: UseCaseWorld;
  beforeEach(async () => {
    world = useCaseWorld();
    await registered(world, 1, 2, 3);
    // In sync on 1 and 2; 3 lags.
    const shards = evenShards(2).map((shard) => ({
      ...shard,
      replicas: shard.replicas.map((one) =>
        one.nodeId === 'node-3' ? { ...one, syncStatus: 'LAGGING' as const } : one,
      ),
    }));
    await world.directory.append(tiledTable, shards, { principal: 'test', action: 'SHARD_CREATED' });
  });
  afterEach(() => world.close());

  const lose = async (...nodes: number[]) => {
    for (const node of nodes) {
      const fenced = await fenceNode(world.deps, BY, await world.liveness(node));
      if (fenced === null) throw new Error('the fence was refused');
      await sweepFencedNode(world.deps, BY, fenced);
    }
  };
  const tellLog = async (node: number, shard: ShardDescriptor, over: Partial<NodeReport> = {}) => {
    const replica = shard.replicas.find((one) => one.nodeId === `node-${node}`)!;
    const lease = await world.liveness(node);
    const one = {
      type: 'silent_leader',
      shard_id: shard.shardId,
      replica_id: replica.replicaId,
      epoch: shard.epoch,
      generation: shard.generation,
      store_uuid: lease.storeUuid,
      silent_ms: 9_000,
      log: { last_epoch: 1, last_seq: 42, intact: true },
      ...over,
    } as NodeReport;
    const incarnation = lease.incarnation ?? '';
    const answer = await world.call(
      'report',
      report,
      { params: { node_id: `node-${node}` }, body: { node_epoch: lease.nodeEpoch, incarnation, reports: [one] } },
      nodePrincipal(node, lease.nodeEpoch, incarnation),
    );
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.results[0]!;
  };
  const recover = async (body: Parameters<typeof recoverShards>[2]['body']) => {
    const answer = await world.call('recoverShards', recoverShards, { body });
    if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
    return answer.value;
  };
  const planned = async (): Promise<WireRecoveryPlan> => {
    const { plans } = await recover({ shard_id: SHARD, dry_run: true });
    if (plans[0] === undefined) throw new Error('no plan');
    return plans[0];
  };
  const problems = async (): Promise<readonly string[]> => {
    const answer = await world.call('clusterHealth', clusterHealth, {});
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.problems;
  };
  const comeBack = async (node: number, store: string) => {
    const body = { node_id: `node-${node}`, host: '127.0.0.1', port: 7000 + node, zone: `z${node}` };
    const more = { incarnation: `inc-${node}b`, store_uuid: store };
    const answer = await world.call('registerNode', registerNode, { body: { ...body, ...more } });
    if (!answer.ok) throw new Error(answer.error.message);
  };

  test('a dry run says what may be lost and changes nothing; the plan is applied exactly, audited, and told', async () => {
    await lose(2, 1);
    const shard = await world.shard(SHARD);
    expect(await tellLog(3, shard)).toMatchObject({ outcome: 'REFUSED', code: 'NOT_PROVEN' });
    const plan = await planned();
    expect(plan).toMatchObject({
      kind: 'UNCLEAN',
      generation: shard.generation,
      candidate: { node_id: 'node-3' },
      log_end: { epoch: 1, seq: 42 },
      lost: [{ node_id: 'node-1' }, { node_id: 'node-2' }],
      behind_entries: null,
    });
    expect(plan.explanation).toContain('may lack acknowledged writes');
    expect(await world.shard(SHARD)).toEqual(shard);

    expect(await world.call('recoverShards', recoverShards, { body: { plans: [plan] } })).toMatchObject({
      ok: false,
      error: { code: 'DATA_LOSS_NOT_ACKNOWLEDGED' },
    });
    world.sent.length = 0;
    const done = await recover({ plans: [plan], acknowledge_data_loss: true });
    expect(done).toMatchObject({ recovered: [{ shard_id: SHARD, leader: 'node-3', epoch: 2 }], refused: [] });
    const after = await world.shard(SHARD);
    expect(after).toMatchObject({ dataLoss: true, minInSync: 1, leader: { nodeId: 'node-3' } });
    const ids = new Set(shard.replicas.map((one) => one.replicaId));
    expect(after.replicas.map((one) => [one.nodeId, one.syncStatus, ids.has(one.replicaId)])).toEqual([
      ['node-1', 'OFFLINE', false],
      ['node-2', 'OFFLINE', false],
      ['node-3', 'IN_SYNC', true],
    ]);
    expect(world.sent.map((draft) => [draft.type, draft.nodeId])).toEqual([['become_leader', 'node-3']]);
    const trail = await world.records.query('audit', {
      partition: { entity: `shard:${SHARD}` },
      order: 'backward',
      limit: 1,
    });
    expect(trail.items[0]?.value).toMatchObject({ action: 'LEADER_ELECTED_UNCLEAN', principal: 'admin:test' });
    // The same plan again finds another generation.
    expect(await recover({ plans: [plan], acknowledge_data_loss: true })).toMatchObject({ recovered: [] });
  });

  test('a late proof of an old copy changes nothing any more: its id left the shard (R4)', async () => {
    await lose(2, 1);
    const shard = await world.shard(SHARD);
    await tellLog(3, shard);
    await recover({ plans: [await planned()], acknowledge_data_loss: true });
    await comeBack(1, 'store-1');
    const before = await world.shard(SHARD);
    expect(await tellLog(1, shard)).toMatchObject({ outcome: 'REFUSED', code: 'REPLICA_UNKNOWN' });
    expect(await world.shard(SHARD)).toEqual(before);
  });

  test('a replica in sync that comes back between plan and application is waited for: nothing is lost', async () => {
    await lose(2, 1);
    await tellLog(3, await world.shard(SHARD));
    const plan = await planned();
    await comeBack(1, 'store-1');
    const refused = await recover({ plans: [plan], acknowledge_data_loss: true });
    expect(refused).toMatchObject({ recovered: [], refused: [{ code: 'PROOF_AWAITED' }] });
    expect(await world.shard(SHARD)).toMatchObject({ dataLoss: false, epoch: 1 });
    expect(await tellLog(1, await world.shard(SHARD))).toMatchObject({ outcome: 'APPLIED' });
    expect(await world.shard(SHARD)).toMatchObject({ dataLoss: false, epoch: 2, leader: { nodeId: 'node-1' } });
  });

  test('another log end than the planned one makes the plan stale', async () => {
    await lose(2, 1);
    const shard = await world.shard(SHARD);
    await tellLog(3, shard);
    const plan = await planned();
    await tellLog(3, shard, { log: { last_epoch: 1, last_seq: 41, intact: true } });
    expect(await recover({ plans: [plan], acknowledge_data_loss: true })).toMatchObject({
      recovered: [],
      refused: [{ code: 'PLAN_STALE' }],
    });
  });

  test('never while the old leader is not fenced, whatever the plan says', async () => {
    await lose(2);
    await tellLog(3, await world.shard(SHARD));
    const { plans } = await recover({ shard_id: SHARD });
    // The leader lives: all that can be forced is that it goes on alone.
    expect(plans).toMatchObject([{ kind: 'SHRINK', candidate: { node_id: 'node-1' } }]);
    const forged = { ...plans[0]!, kind: 'UNCLEAN' as const, candidate: { node_id: 'node-3', replica_id: 'r-0-3' } };
    expect(await recover({ plans: [forged], acknowledge_data_loss: true })).toMatchObject({
      recovered: [],
      refused: [{ code: 'PLAN_STALE' }],
    });
  });

  test('all affected shards at once; health says why each can not serve, and what to do', async () => {
    await lose(2, 1);
    for (const id of [SHARD, 'shard-0000001']) await tellLog(3, await world.shard(id));
    const { plans, more } = await recover({});
    expect(plans.map((plan) => plan.shard_id).sort()).toEqual([SHARD, 'shard-0000001']);
    expect(more).toBe(false);
    const told = (await problems()).filter((text) => text.includes(SHARD));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/no leader.*node-1 \(its node is away\).*POST \/recovery\/unclean-elections/);
    await recover({ plans, acknowledge_data_loss: true });
    expect((await problems()).some((text) => text.includes('data_loss'))).toBe(true);
  });

  test('min_in_sync comes back with the copies; only then the mark may be taken off, by an audited call', async () => {
    await lose(2, 1);
    await tellLog(3, await world.shard(SHARD));
    await recover({ plans: [await planned()], acknowledge_data_loss: true });
    const close = () =>
      world.call('closeRecovery', closeRecovery, {
        params: { shard_id: SHARD },
        body: { note: 'reimported from the journal' },
      });
    expect(await close()).toMatchObject({ ok: false, error: { code: 'NOT_ENOUGH_IN_SYNC' } });
    await restoreMinInSync(world.deps, BY);
    expect(await world.shard(SHARD)).toMatchObject({ minInSync: 1 });

    // The new leader fills the copy on a node that is back with an empty disk.
    await comeBack(1, 'store-new');
    const shard = await world.shard(SHARD);
    const empty = shard.replicas.find((one) => one.nodeId === 'node-1')!;
    const lease = await world.liveness(1);
    const proposal = {
      type: 'replica_status',
      shard_id: SHARD,
      epoch: shard.epoch,
      generation: shard.generation,
      replica_id: empty.replicaId,
      node_epoch: lease.nodeEpoch,
      store_uuid: 'store-new',
      sync_status: 'IN_SYNC',
    } as const;
    const answer = await world.call(
      'report',
      report,
      { params: { node_id: 'node-3' }, body: { node_epoch: 1, incarnation: 'inc-3', reports: [proposal] } },
      nodePrincipal(3),
    );
    expect(answer).toMatchObject({ ok: true, value: { results: [{ outcome: 'APPLIED' }] } });
    await restoreMinInSync(world.deps, BY);
    expect(await world.shard(SHARD)).toMatchObject({ minInSync: 2, dataLoss: true });
    const open = await world.call('listRecoveries', listRecoveries, {});
    expect(open).toMatchObject({
      ok: true,
      value: { shards: [{ shard_id: SHARD, min_in_sync: { present: 2, wanted: 2 } }] },
    });
    expect(await close()).toMatchObject({ ok: true });
    expect(await world.shard(SHARD)).toMatchObject({ dataLoss: false, minInSync: 2 });
    const trail = await world.records.query('audit', {
      partition: { entity: `shard:${SHARD}` },
      order: 'backward',
      limit: 1,
    });
    expect(trail.items[0]?.value).toMatchObject({
      action: 'RECOVERY_CLOSED',
      detail: { cause: { note: 'reimported from the journal' } },
    });
    expect(await close()).toMatchObject({ ok: false, error: { code: 'NOT_UNDER_RECOVERY' } });
  });

  test('a stalled leader goes on alone by a forced shrink: same epoch, no data_loss', async () => {
    await lose(2);
    await recover({ plans: [await planned()], acknowledge_data_loss: true });
    expect(await world.shard(SHARD)).toMatchObject({
      epoch: 1,
      minInSync: 1,
      dataLoss: false,
      leader: { nodeId: 'node-1' },
    });
    expect(world.sent.at(-1)).toMatchObject({ type: 'apply_descriptor', nodeId: 'node-1' });
  });
});
