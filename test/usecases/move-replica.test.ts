import { nodeId, operationId, tableName } from '../../shared/domain/ids.ts';
import type { OperationRecord, TableRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { moveShard, startMembershipChange, checkMembershipChange } from '../../shared/usecases/move-replica.ts';
import {
  cancelOperation,
  pauseOperation,
  redriveOperation,
  resumeOperation,
} from '../../shared/usecases/operations.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { startTransfer } from '../../shared/usecases/transfer-leader.ts';
import { replicatingNodes } from '../support/replicating-nodes.ts';
import type { ReplicatingNodes } from '../support/replicating-nodes.ts';
import { operationStory } from '../support/virtual-operations.ts';
import type { Operations } from '../support/virtual-operations.ts';
import { ADMIN } from '../support/use-case-world.ts';
import { checkAuditNumbers, checkInvariants } from '../support/world-checks.ts';

/** The membership change of one shard through its real state machine: five nodes in five zones, a table of one shard on three of them. */

const TABLE = 'rows';

interface Story extends Operations {
  readonly nodes: ReplicatingNodes;
  /** The shard as it is. */
  readonly shard: () => Promise<ShardDescriptor>;
  /** Numbers of the nodes: leader, followers, and those without a replica. */
  readonly leader: number;
  readonly followers: readonly number[];
  readonly free: readonly number[];
  move(body: Partial<Parameters<typeof moveShard>[2]['body']> & { to: number; from?: number }): Promise<string>;
  /** Waits for the end of the operation, failovers and reconcile ticks included. */
  ended(id: string): Promise<OperationRecord>;
}

const numberOf = (id: string): number => Number(id.slice('node-'.length));
const nodesOf = (shard: ShardDescriptor): number[] => shard.replicas.map((replica) => numberOf(replica.nodeId)).sort();
const PROPOSE_MS = 500;
const LOOK_MS = 500;
/** Looks between two reconcile ticks: some 10 s. */
const LOOKS_PER_TICK = 20;
const AT_REST: ReadonlySet<OperationRecord['status']> = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED', 'PAUSED']);

async function story(tell: (story: Story) => Promise<void>): Promise<void> {
  await operationStory(async (operations) => {
    const { world } = operations;
    const nodes = replicatingNodes(world);
    const answer = await world.call('createTable', createTable, { body: { table: TABLE, replication_factor: 3 } });
    if (!answer.ok) throw new Error(answer.error.message);
    await operations.idle(answer.value.operation_id);
    const table = async (): Promise<TableRecord> => {
      const stored = await world.records.get('table', { table: tableName(TABLE) });
      if (stored === null) throw new Error('no table');
      return stored.value;
    };
    const { tableId } = await table();
    const shard = async (): Promise<ShardDescriptor> => {
      const [first] = (await world.directory.scan(tableId, { fromKey: '' as never, limit: 1 })).shards;
      if (first === undefined) throw new Error('no shard');
      return first.shard;
    };
    const first = await shard();
    let over = false;
    const leaders = async (): Promise<void> => {
      while (!over) {
        await operations.wait(PROPOSE_MS);
        if (!over) await nodes.propose([first.shardId]);
      }
    };
    const loop = leaders();
    const taken = nodesOf(first);
    await tell({
      ...operations,
      nodes,
      shard,
      leader: numberOf(first.leader.nodeId),
      followers: taken.filter((node) => node !== numberOf(first.leader.nodeId)),
      free: [1, 2, 3, 4, 5].filter((node) => !taken.includes(node)),
      move: async ({ to, from, ...body }) => {
        const asked = await world.call('moveShard', moveShard, {
          params: { shard_id: first.shardId },
          body: {
            ...body,
            target_node_id: `node-${to}`,
            ...(from === undefined ? {} : { source_node_id: `node-${from}` }),
          },
        });
        if (!asked.ok) throw new Error(`${asked.error.code}: ${asked.error.message}`);
        if (asked.value.operation_id === null) throw new Error('nothing was started');
        return asked.value.operation_id;
      },
      ended: async (id) => {
        for (let looks = 1; ; looks++) {
          const stored = await world.records.get('operation', { operationId: operationId(id) });
          if (stored !== null && AT_REST.has(stored.value.status)) return operations.idle(id);
          await operations.wait(LOOK_MS);
          if (looks % LOOKS_PER_TICK === 0) await reconcileOnce(world.deps);
        }
      },
    });
    over = true;
    await loop;
    expect(checkInvariants(world.committed, nodes.receipts)).toEqual([]);
    expect(checkAuditNumbers(world.committed)).toEqual([]);
  });
}

/** Whoever serves is listed, in sync and alive; nobody owns the shard; every copy that a live node holds is listed. */
async function expectAtRest(
  { shard, nodes, world }: Story,
  on: readonly number[],
  dead: readonly number[] = [],
): Promise<void> {
  const present = await shard();
  expect(nodesOf(present)).toEqual([...on].sort());
  expect(present.state).toEqual({ kind: 'ACTIVE' });
  expect(present.intent).toBeNull();
  for (const node of [1, 2, 3, 4, 5].filter((one) => !dead.includes(one))) {
    const listed = present.replicas.filter((replica) => numberOf(replica.nodeId) === node);
    expect(nodes.held(node)).toEqual(listed.map((replica) => replica.replicaId));
    const { replicas } = await world.directory.replicasOn(nodeId(`node-${node}`), { limit: 10 });
    expect(replicas.map((pointer) => pointer.replicaId)).toEqual(listed.map((replica) => replica.replicaId));
  }
  const owned = await world.records.query('ownedShard', { partition: {}, order: 'forward', limit: 10 });
  expect(owned.items).toEqual([]);
}

const STEPS = [
  'begin',
  'claim',
  'add-replicas',
  'create-replicas',
  'await-in-sync',
  'move-leader',
  'remove-replicas',
  'forget',
  'release',
];
/** Steps before which a cancel is accepted. */
const CANCELLABLE = STEPS.slice(0, STEPS.indexOf('remove-replicas'));

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

describe('at every boundary of a step', () => {
  const asked = async (told: Story, control: 'pause' | 'resume' | 'cancel' | 'redrive', id: string) => {
    const params = { operation_id: id };
    switch (control) {
      case 'pause':
        return told.world.call('pauseOperation', pauseOperation, { params });
      case 'resume':
        return told.world.call('resumeOperation', resumeOperation, { params });
      case 'cancel':
        return told.world.call('cancelOperation', cancelOperation, { params });
      case 'redrive':
        return told.world.call('redriveOperation', redriveOperation, { params });
    }
  };
  const once = (told: Story, step: string, work: (id: string) => Promise<unknown>): void => {
    let done = false;
    told.around(async (task, run) => {
      if (task.step === step && !done) {
        done = true;
        await work(task.operation_id);
      }
      return run();
    });
  };

  test.each(STEPS)('paused before %s for longer than any bound, and resumed', (step) =>
    story(async (told) => {
      once(told, step, (id) => asked(told, 'pause', id));
      const id = await told.move({ to: told.free[0]!, from: told.leader });
      expect(await told.ended(id)).toMatchObject({ status: 'PAUSED' });
      await told.wait(1_000_000); // above the 900 s that a copy may take
      await asked(told, 'resume', id);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED', run: 2 });
      await expectAtRest(told, [...told.followers, told.free[0]!]);
    }),
  );

  test.each(CANCELLABLE)('cancelled before %s: everything is as it was', (step) =>
    story(async (told) => {
      const before = await told.shard();
      once(told, step, (id) => asked(told, 'cancel', id));
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK', error: null });
      await expectAtRest(told, [told.leader, ...told.followers]);
      const after = await told.shard();
      expect({ ...after, generation: 0 }).toEqual({ ...before, generation: 0 });
    }),
  );

  test('a cancel after the first removal is refused, and the move goes on', () =>
    story(async (told) => {
      let code = '';
      once(told, 'forget', async (id) => {
        const answer = await asked(told, 'cancel', id);
        code = answer.ok ? 'accepted' : answer.error.code;
      });
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(code).toBe('NOT_CANCELLABLE');
    }));

  test.each(STEPS)('%s run twice, and its first answer lost', (step) =>
    story(async (told) => {
      told.around(async (task, run) => {
        if (task.step !== step || task.task_token !== undefined) return run();
        await run();
        return run();
      });
      const id = await told.move({ to: told.free[0]!, from: told.leader });
      const ended = await told.ended(id);
      expect(ended).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [...told.followers, told.free[0]!]);
    }),
  );

  test.each(STEPS)('the process of the state machines dies before %s; the next one goes on', (step) =>
    story(async (told) => {
      once(told, step, () => told.restart().then(() => Promise.reject(new Error('died'))));
      const id = await told.move({ to: told.free[0]!, from: told.leader });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [...told.followers, told.free[0]!]);
    }),
  );

  test.each(
    STEPS.flatMap((step) => (['source', 'target', 'leader', 'other'] as const).map((who) => [who, step] as const)),
  )('the %s dies before %s and comes back a minute later', (who, step) =>
    story(async (told) => {
      const { leader, followers, free } = told;
      const victim = { source: followers[0]!, target: free[0]!, leader, other: followers[1]! }[who];
      let back: Promise<void> = Promise.resolve();
      once(told, step, async () => {
        await told.nodes.kill(victim);
        back = told.wait(60_000).then(() => told.nodes.revive(victim));
      });
      const id = await told.move({ to: free[0]!, from: followers[0]! });
      const ended = await told.ended(id);
      await back;
      await told.wait(5_000);
      expect(ended.status).toBe(ended.outcome === 'ROLLED_BACK' ? 'FAILED' : 'SUCCEEDED');
      // A dead target at the start is refused; else it is waited for.
      if (ended.status === 'SUCCEEDED') await expectAtRest(told, [leader, followers[1]!, free[0]!]);
      else await expectAtRest(told, [leader, ...followers]);
      expect((await told.shard()).replicas.every((replica) => replica.syncStatus === 'IN_SYNC')).toBe(true);
    }),
  );
});

describe('what does not come right is undone, within bounds', () => {
  test('the target stays dead: rolled back, its copy destroyed when it returns', () =>
    story(async (told) => {
      const { leader, followers, free, nodes } = told;
      told.nodes.pace(free[0]!, 'NEVER');
      const id = await told.move({ to: free[0]!, from: followers[0]! });
      await told.wait(20_000);
      await nodes.kill(free[0]!);
      expect(await told.ended(id)).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: { code: 'TARGET_DOWN' },
      });
      await expectAtRest(told, [leader, ...followers], [free[0]!]);
      await nodes.revive(free[0]!);
      await expectAtRest(told, [leader, ...followers]);
    }));

  test('the target never catches up: rolled back after a bound', () =>
    story(async (told) => {
      told.nodes.pace(told.free[0]!, 'NEVER');
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: { code: 'CATCH_UP_TIMEOUT' },
      });
      await expectAtRest(told, [told.leader, ...told.followers]);
    }));

  test('redriven after a roll-back, it starts anew with new replica ids (R4)', () =>
    story(async (told) => {
      told.nodes.pace(told.free[0]!, 'NEVER');
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'FAILED' });
      told.nodes.pace(told.free[0]!, 'AT_ONCE');
      await told.world.call('redriveOperation', redriveOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
      await expectAtRest(told, [told.leader, told.followers[1]!, told.free[0]!]);
    }));

  test('the target is wiped on the way: a new copy is made under the same id (ADR 0003)', () =>
    story(async (told) => {
      const target = told.free[0]!;
      told.nodes.pace(target, 'NEVER');
      const id = await told.move({ to: target, from: told.followers[0]! });
      await told.wait(20_000);
      await told.nodes.kill(target);
      await told.nodes.revive(target, 'WIPED');
      told.nodes.pace(target, 'AT_ONCE');
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [told.leader, told.followers[1]!, target]);
    }));

  test('a survivor dies before the removal: it waits, because the floor comes first (I-7)', () =>
    story(async (told) => {
      const { leader, followers, free, nodes } = told;
      let waited = '';
      told.around(async (task, run) => {
        if (task.step === 'remove-replicas' && waited === '') {
          await nodes.kill(followers[1]!);
          const answer = await run();
          waited = answer.next;
          await nodes.revive(followers[1]!);
          return answer;
        }
        return run();
      });
      const id = await told.move({ to: free[0]!, from: followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(waited).toBe('remove-replicas');
      await expectAtRest(told, [leader, followers[1]!, free[0]!]);
    }));
});

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
