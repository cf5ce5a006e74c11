import { nodeId, operationId } from '../../shared/domain/ids.ts';
import { err } from '../../shared/domain/result.ts';
import { checkMembershipChange, moveShard, startMembershipChange } from '../../shared/usecases/move-replica.ts';
import { cancelOperation } from '../../shared/usecases/operations.ts';
import { startTransfer } from '../../shared/usecases/transfer-leader.ts';
import { expectAtRest, numberOf, story } from '../support/moving-story.ts';
import type { Story } from '../support/moving-story.ts';
import { ADMIN } from '../support/use-case-world.ts';

/** Moves and other changes of a membership, as they end when nothing comes in between. Interrupted ones: move-replica-interrupted.test.ts. */

describe('a move', () => {
  test('of a follower: copied, in sync, removed; the leader stays', () =>
    story(async (told) => {
      const { leader, followers, free } = told;
      const id = await told.move({ to: free[0]!, from: followers[0]! });
      expect(await told.ended(id)).toMatchObject({
        status: 'SUCCEEDED',
        outcome: 'APPLIED',
        progress: { done: 2, total: 2, unit: 'replicas' },
        waitingOn: null,
        error: null,
      });
      await expectAtRest(told, [leader, followers[1]!, free[0]!]);
      const after = await told.shard();
      expect(numberOf(after.leader.nodeId)).toBe(leader);
      expect(after.replicas.every((replica) => replica.syncStatus === 'IN_SYNC')).toBe(true);
    }));

  test('of the leader: the newcomer leads, on a receipt (E2)', () =>
    story(async (told) => {
      const { leader, followers, free } = told;
      const id = await told.move({ to: free[0]!, from: leader });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [...followers, free[0]!]);
      expect(numberOf((await told.shard()).leader.nodeId)).toBe(free[0]);
      expect(told.nodes.receipts).toHaveLength(1);
    }));

  test('by a plan that was shown; stale as soon as the shard has changed', () =>
    story(async (told) => {
      const { world, free } = told;
      const { shardId, generation } = await told.shard();
      const dry = await world.call('moveShard', moveShard, {
        params: { shard_id: shardId },
        body: { target_node_id: `node-${free[0]!}`, dry_run: true },
      });
      if (!dry.ok) throw new Error(dry.error.message);
      expect(dry.value).toMatchObject({ operation_id: null, plan: { generation, target_node_id: `node-${free[0]!}` } });
      expect((await told.shard()).generation).toBe(generation);
      const body = { target_node_id: `node-${free[0]!}`, plan: dry.value.plan };
      const applied = await world.call('moveShard', moveShard, { params: { shard_id: shardId }, body });
      if (!applied.ok || applied.value.operation_id === null) throw new Error('not started');
      expect((await told.ended(applied.value.operation_id)).plan).toEqual(dry.value.plan);
      const again = await world.call('moveShard', moveShard, { params: { shard_id: shardId }, body });
      expect(again).toMatchObject({ ok: false, error: { kind: 'CONFLICT', code: 'PLAN_STALE' } });
    }));

  test.each<[string, (told: Story) => unknown, (told: Story) => object, string]>([
    ['to a node that is unknown', () => null, () => ({ target_node_id: 'node-9' }), 'NODE_NOT_FOUND'],
    [
      'to a node that holds a replica',
      () => null,
      ({ leader }) => ({ target_node_id: `node-${leader}` }),
      'ALREADY_ON_NODE',
    ],
    [
      'to a dead node',
      ({ nodes, free }) => nodes.kill(free[0]!),
      ({ free }) => ({ target_node_id: `node-${free[0]!}` }),
      'NODE_UNHEALTHY',
    ],
    [
      'from a node without a replica',
      () => null,
      ({ free }) => ({ target_node_id: `node-${free[0]!}`, source_node_id: `node-${free[1]!}` }),
      'REPLICA_UNKNOWN',
    ],
    [
      'of another generation',
      () => null,
      ({ free }) => ({ target_node_id: `node-${free[0]!}`, generation: 99 }),
      'GENERATION_STALE',
    ],
    [
      'of a shard that is being moved',
      (told) => told.move({ to: told.free[1]! }).then(() => told.wait(2_000)),
      ({ free }) => ({ target_node_id: `node-${free[0]!}` }),
      'SHARD_BUSY',
    ],
  ])('%s is refused', (_what, prepare, body, code) =>
    story(async (told) => {
      if (code === 'SHARD_BUSY') told.nodes.pace(told.free[1]!, 'NEVER');
      await prepare(told);
      const { shardId, generation } = await told.shard();
      const answer = await told.world.call('moveShard', moveShard, {
        params: { shard_id: shardId },
        body: body(told) as Parameters<typeof moveShard>[2]['body'],
      });
      expect(answer).toMatchObject({ ok: false, error: { code } });
      expect((await told.shard()).generation).toBe(generation);
      if (code !== 'SHARD_BUSY') return;
      const page = await told.world.records.query('operation', { partition: {}, order: 'backward', limit: 1 });
      const busy = page.items[0]!.value.operationId;
      await told.world.call('cancelOperation', cancelOperation, { params: { operation_id: busy } });
      expect(await told.ended(busy)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK' });
      await expectAtRest(told, [told.leader, ...told.followers]);
    }),
  );
});

test('a transfer to the very copy that leaves is waited for with pauses', () =>
  story(async (told) => {
    const { commands } = told.world.deps;
    const send = commands.send.bind(commands);
    let isSilent = true;
    Object.assign(commands, {
      send: async (drafts: Parameters<typeof send>[0]) =>
        isSilent && drafts.some(({ type }) => type === 'step_down')
          ? drafts.map(() => ({ outcome: 'QUEUED' as const }))
          : send(drafts),
    });
    const [follower = 0] = told.followers;
    let asked = 0;
    told.around(async (task, run) => {
      if (task.step === 'move-leader' && asked++ === 0) {
        const shard = await told.shard();
        const leaving = shard.replicas.find((replica) => numberOf(replica.nodeId) === follower)!;
        await startTransfer(told.world.deps, ADMIN, shard.shardId, leaving.replicaId);
        void told.wait(5_000).then(() => (isSilent = false));
      }
      if (asked > 100) throw new Error('asked without a pause');
      return run();
    });
    const id = await told.move({ to: told.free[0]!, from: follower });
    expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
    expect(asked).toBeGreaterThan(3);
    expect(asked).toBeLessThan(60);
  }));

describe('other changes of a membership', () => {
  const change = async (told: Story, add: number[], remove: number[], replicationFactor: number): Promise<string> => {
    const shard = await told.shard();
    const located = await told.world.directory.locate(shard.shardId);
    if (located === null) throw new Error('no shard');
    const checked = await checkMembershipChange(told.world.deps, shard, {
      add: add.map((node) => nodeId(`node-${node}`)),
      remove: shard.replicas.filter((one) => remove.includes(numberOf(one.nodeId))).map((one) => one.replicaId),
      replicationFactor,
    });
    if (!checked.ok) throw new Error(checked.error.code);
    const started = await startMembershipChange(told.world.deps, ADMIN, located, { input: checked.value });
    if (!started.ok) throw new Error(started.error.code);
    return started.value.operationId;
  };

  test('replication factor 3 to 5 and back: min_in_sync follows', () =>
    story(async (told) => {
      const { leader, followers, free } = told;
      expect(await told.ended(await change(told, [...free], [], 5))).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [1, 2, 3, 4, 5]);
      expect((await told.shard()).minInSync).toBe(3);
      expect(await told.ended(await change(told, [], [leader, followers[0]!], 3))).toMatchObject({
        status: 'SUCCEEDED',
      });
      await expectAtRest(told, [followers[1]!, ...free]);
      expect((await told.shard()).minInSync).toBe(2);
    }));

  test('what lowered min_in_sync and is undone raises it again, however often the shard changes meanwhile', () =>
    story(async (told) => {
      const { leader, followers, free, nodes, world } = told;
      expect(await told.ended(await change(told, [...free], [], 5))).toMatchObject({ status: 'SUCCEEDED' });
      for (const node of free) await nodes.kill(node);
      const id = await change(told, [], [...followers], 3);
      const { records } = world.deps;
      const commit = records.commit.bind(records);
      const raced = { code: 'CONDITION_FAILED', index: 0, current: null } as const;
      let races = 0;
      Object.assign(records, {
        commit: async (...args: Parameters<typeof commit>) => {
          const { undoing } = (await records.get('operation', { operationId: operationId(id) }))?.value ?? {};
          const isRaised = args[0].audit.some(({ action }) => action === 'MIN_IN_SYNC_CHANGED');
          // As many as one change of a shard bears.
          return undoing === true && isRaised && races++ < 6 ? err(raced) : commit(...args);
        },
      });
      expect(await told.ended(id)).toMatchObject({ status: 'FAILED', outcome: 'ROLLED_BACK' });
      expect(races).toBeGreaterThan(6);
      expect((await told.shard()).minInSync).toBe(3);
      await expectAtRest(told, [leader, ...followers, ...free], free);
    }));

  test('replication factor 3 to 1', () =>
    story(async (told) => {
      expect(await told.ended(await change(told, [], [...told.followers], 1))).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [told.leader]);
      expect((await told.shard()).minInSync).toBe(1);
    }));

  test('a repair: the dead one leaves for a new one, and finds its copy gone when it returns', () =>
    story(async (told) => {
      const { leader, followers, free, nodes } = told;
      await nodes.kill(followers[0]!);
      expect(await told.ended(await change(told, [free[0]!], [followers[0]!], 3))).toMatchObject({
        status: 'SUCCEEDED',
      });
      await expectAtRest(told, [leader, followers[1]!, free[0]!], [followers[0]!]);
      await nodes.revive(followers[0]!);
      await expectAtRest(told, [leader, followers[1]!, free[0]!]);
    }));
});
