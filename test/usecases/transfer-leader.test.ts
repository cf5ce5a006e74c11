import { epoch, generation } from '../../shared/domain/ids.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { heartbeat } from '../../shared/usecases/heartbeat.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { report } from '../../shared/usecases/reports.ts';
import { setLeader } from '../../shared/usecases/transfer-leader.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { evenShards, tiledTable } from '../support/tiles.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

const SHARD = 'shard-0000000';

describe('POST /shards/{shard_id}/leader (E2)', () => {
  let world: UseCaseWorld;
  beforeEach(async () => {
    world = useCaseWorld();
    await registered(world, 1, 2, 3, 4);
    await world.directory.append(tiledTable, evenShards(1), { principal: 'test', action: 'SHARD_CREATED' });
    const receipt = { epoch: epoch(1), generation: generation(2) };
    world.answer((draft) => ({ outcome: 'DONE', receipt: draft.type === 'step_down' ? receipt : null }));
  });
  afterEach(() => world.close());

  const transfer = (node: string, shard = SHARD) =>
    world.call('setLeader', setLeader, { params: { shard_id: shard }, body: { new_leader_node_id: node } });
  const openIntents = async () =>
    (await world.records.query('openIntent', { partition: {}, order: 'forward', limit: 10 })).items.map(
      ({ value }) => value.shardId,
    );

  test('intent, receipt, new leader: answered only after the commit, and the new leader is told', async () => {
    expect(await transfer('node-2')).toEqual({
      ok: true,
      value: {
        status: 'success',
        message: `Node node-2 is now leader for shard ${SHARD}`,
        shard_id: SHARD,
        epoch: 2,
        generation: 3,
      },
    });
    expect(await world.shard(SHARD)).toMatchObject({
      leader: { nodeId: 'node-2', nodeEpoch: 1 },
      epoch: 2,
      generation: 3,
      intent: null,
    });
    expect(world.sent.map(({ type, nodeId }) => `${type} ${nodeId}`)).toEqual([
      'step_down node-1',
      'become_leader node-2',
    ]);
    expect(await openIntents()).toEqual([]);
    const trail = await world.records.query('audit', {
      partition: { entity: `shard:${SHARD}` },
      order: 'forward',
      limit: 10,
    });
    expect(trail.items.map(({ value }) => `${value.number} ${value.action} ${value.principal}`)).toEqual([
      '1 SHARD_CREATED test',
      '2 TRANSFER_STARTED admin:test',
      '3 LEADER_TRANSFERRED admin:test',
    ]);
  });

  test('a target that can not lead is refused, and nobody is elected for it (found by fuzzing)', async () => {
    await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(1));
    await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(3));
    const before = await world.shard(SHARD);
    expect(await transfer('node-3')).toMatchObject({
      ok: false,
      error: { code: 'REPLICA_NOT_IN_SYNC', detail: { reason: 'ENTRY_VOID' } },
    });
    expect(await world.shard(SHARD)).toEqual(before);
    expect((await transfer('node-2')).ok).toBe(true);
  });

  test('no receipt in 10 s: STEP_DOWN_PENDING; the reconciler asks again and finishes it', async () => {
    world.answer(() => ({ outcome: 'QUEUED' }));
    const answer = transfer('node-2');
    await world.timers.advance(10_500);
    expect(await answer).toMatchObject({
      ok: false,
      error: { kind: 'CONFLICT', code: 'STEP_DOWN_PENDING', retryAfterSeconds: 10 },
    });
    expect((await world.shard(SHARD)).leader.nodeId).toBe('node-1');
    expect(await openIntents()).toEqual([SHARD]);

    world.answer((draft) => ({
      outcome: 'DONE',
      receipt: draft.type === 'step_down' ? { epoch: epoch(1), generation: generation(2) } : null,
    }));
    await reconcileOnce(world.deps);
    expect((await world.shard(SHARD)).leader.nodeId).toBe('node-2');
    expect(await openIntents()).toEqual([]);
  });

  test('a receipt that comes by a report while the caller waits is as good', async () => {
    world.answer(() => ({ outcome: 'QUEUED' }));
    const answer = transfer('node-3');
    await world.timers.advance(1_000);
    await world.call(
      'report',
      report,
      {
        params: { node_id: 'node-1' },
        body: {
          node_epoch: 1,
          incarnation: 'inc-1',
          reports: [{ type: 'step_down_receipt', shard_id: SHARD, replica_id: 'r-0-1', epoch: 1, generation: 2 }],
        },
      },
      nodePrincipal(1),
    );
    await world.timers.advance(1_000);
    expect(await answer).toMatchObject({ ok: true, value: { epoch: 2 } });
  });

  test('a receipt that rides on a heartbeat is as good', async () => {
    world.answer(() => ({ outcome: 'QUEUED' }));
    const answer = transfer('node-3');
    await world.timers.advance(1_000);
    const ack = {
      command_id: 'cmd-1',
      outcome: 'DONE' as const,
      code: null,
      message: null,
      receipt: { shard_id: SHARD, replica_id: 'r-0-1', epoch: 1, generation: 2 },
    };
    const beat = await world.call(
      'heartbeat',
      heartbeat,
      {
        params: { node_id: 'node-1' },
        body: { node_epoch: 1, incarnation: 'inc-1', sequence: 1, attestation: 1, acks: [ack] },
      },
      nodePrincipal(1),
    );
    expect(beat.ok).toBe(true);
    await world.timers.advance(1_000);
    expect(await answer).toMatchObject({ ok: true, value: { epoch: 2 } });
  });

  test("a receipt by another node than the leader's counts nothing (I-8)", async () => {
    world.answer(() => ({ outcome: 'QUEUED' }));
    const answer = transfer('node-3');
    await world.timers.advance(1_000);
    const forged = await world.call(
      'report',
      report,
      {
        params: { node_id: 'node-2' },
        body: {
          node_epoch: 1,
          incarnation: 'inc-2',
          reports: [{ type: 'step_down_receipt', shard_id: SHARD, replica_id: 'r-0-1', epoch: 1, generation: 2 }],
        },
      },
      nodePrincipal(2),
    );
    expect(forged.ok && forged.value.results[0]).toMatchObject({ outcome: 'REFUSED', code: 'NOT_LEADER' });
    await world.timers.advance(10_000);
    expect(await answer).toMatchObject({ ok: false });
    expect((await world.shard(SHARD)).epoch).toBe(1);
  });

  test('a receipt by an earlier registration of the leader counts nothing (E1, E2)', async () => {
    world.answer(() => ({ outcome: 'QUEUED' }));
    // node-1 leads at epoch 1 under node epoch 1; the reporter's credential is of another registration.
    const answer = transfer('node-3');
    await world.timers.advance(1_000);
    const other = await world.call(
      'report',
      report,
      {
        params: { node_id: 'node-1' },
        body: {
          node_epoch: 2,
          incarnation: 'inc-1b',
          reports: [{ type: 'step_down_receipt', shard_id: SHARD, replica_id: 'r-0-1', epoch: 1, generation: 2 }],
        },
      },
      nodePrincipal(1, 2, 'inc-1b'),
    );
    expect(other.ok && other.value.results[0]).toMatchObject({ outcome: 'REFUSED', code: 'NOT_LEADER' });
    await world.timers.advance(10_000);
    expect(await answer).toMatchObject({ ok: false });
    expect((await world.shard(SHARD)).epoch).toBe(1);
  });

  test('a leader that is fenced during the transfer is succeeded by election, the target first', async () => {
    world.answer(() => ({ outcome: 'QUEUED' }));
    const answer = transfer('node-3');
    await world.timers.advance(1_000);
    await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(1));
    await world.timers.advance(2_000);
    await reconcileOnce(world.deps);
    await world.timers.advance(1_000);
    expect(await answer).toMatchObject({ ok: true, value: { epoch: 2 } });
    expect((await world.shard(SHARD)).leader.nodeId).toBe('node-3');
    expect(await openIntents()).toEqual([]);
  });

  test.each([
    ['the present leader: nothing to do', 'node-1', { ok: true, value: { epoch: 1, generation: 1 } }],
    ['a node without a replica', 'node-4', { ok: false, error: { kind: 'CONFLICT', code: 'REPLICA_UNKNOWN' } }],
    ['an unknown node', 'node-9', { ok: false, error: { kind: 'NOT_FOUND', code: 'NODE_NOT_FOUND' } }],
  ])('%s', async (_what, node, expected) => {
    expect(await transfer(node)).toMatchObject(expected);
    expect((await world.shard(SHARD)).generation).toBe(1);
  });

  test('an unknown shard, and a second transfer to another target', async () => {
    expect(await transfer('node-2', 'shard-nope')).toMatchObject({ ok: false, error: { code: 'SHARD_NOT_FOUND' } });
    world.answer(() => ({ outcome: 'QUEUED' }));
    const first = transfer('node-2');
    await world.timers.advance(500);
    expect(await transfer('node-3')).toMatchObject({
      ok: false,
      error: { code: 'TRANSFER_PENDING', detail: { target: 'node-2' } },
    });
    await world.timers.advance(10_500);
    await first;
  });
});
