import assert from 'node:assert/strict';
import { shardCalls } from '../../../shared/contracts/api/shards.ts';
import type { Case } from '../case.ts';
import { shardctl } from '../shardctl.ts';
import { elsewhere, otherwise, TABLE } from '../world.ts';
import type { OperationView, ShardView, World } from '../world.ts';
import { Writers } from '../writers.ts';

const EVENT_MS_MAX = 60_000;
/** A row of the shard that moves. */
const KEY = 'lisbon';

/** What the cases of one run pass on. */
interface Moved {
  readonly operation: OperationView;
  readonly from: string;
  readonly to: string;
}
let moved: Moved | null = null;

const wasMoved = (): Moved => {
  assert.ok(moved !== null, 'a replica was moved before');
  return moved;
};

/** Everything about a shard that a structural change touches. */
const standing = ({ leader, replicas, epoch, generation, state, operation_id }: ShardView) => ({
  ...{ leader, replicas, epoch, generation, state, operation_id },
});

const dryRun = (world: World, shard: ShardView, target: string) =>
  world.ok(shardCalls.moveShard.response, 'POST', `/shards/${shard.shard_id}/move`, {
    target_node_id: target,
    dry_run: true,
  });

export const moves: readonly Case[] = [
  {
    name: 'a dry run of a move tells its plan and changes nothing; once the shard has changed, the plan is stale (call 6)',
    run: async (world) => {
      await world.settled();
      const before = await world.shardOf(KEY);
      const target = elsewhere(world, before);
      const { plan, operation_id, message } = await dryRun(world, before, target);
      assert.equal(operation_id, null);
      assert.equal(message, `Shard ${before.shard_id} would be moved from ${plan.source_node_id} to ${target}`);
      assert.equal(plan.generation, before.generation);
      assert.deepEqual(standing(await world.shardOf(KEY)), standing(before));

      // From here on the replica that leaves is the leader's.
      const leader = before.leader === plan.source_node_id ? otherwise(before) : plan.source_node_id;
      for (const nodeId of new Set([leader, plan.source_node_id])) {
        await world.ok(shardCalls.setLeader.response, 'POST', `/shards/${before.shard_id}/leader`, {
          new_leader_node_id: nodeId,
        });
      }
      const changed = await world.shardOf(KEY);
      assert.equal(changed.leader, plan.source_node_id);
      const refused = await world.refused('POST', `/shards/${before.shard_id}/move`, { target_node_id: target, plan });
      assert.deepEqual([refused.status, refused.body['code']], [409, 'PLAN_STALE']);
      assert.deepEqual(standing(await world.shardOf(KEY)), standing(changed));
    },
  },
  {
    name: 'the leader’s replica moves as planned, while rows are written and read (call 6)',
    run: async (world) => {
      const before = await world.shardOf(KEY);
      const { plan } = await dryRun(world, before, elsewhere(world, before));
      const { source_node_id: from, target_node_id: to } = plan;
      assert.equal(plan.transfers_leader, true);
      await world.withClient(async (client) => {
        const writers = new Writers(client, ['h-move', 'i-move'], world.rows);
        let reads = 0;
        let operation: OperationView;
        try {
          const started = await world.ok(shardCalls.moveShard.response, 'POST', `/shards/${before.shard_id}/move`, {
            target_node_id: to,
            plan,
          });
          assert.equal(started.status, 'success');
          assert.equal(started.message, `Shard ${before.shard_id} is being moved to ${to}`);
          assert.ok(started.operation_id !== null);
          operation = await world.succeeded(started.operation_id, async () => {
            assert.deepEqual((await client.get(TABLE, KEY))?.value, world.rows.get(KEY));
            reads += 1;
          });
        } finally {
          const pauseMs = await writers.stop();
          world.note(`longest time without an acknowledged write ${Math.round(pauseMs)} ms, ${reads} reads meanwhile`);
        }
        assert.ok(reads > 0);
        moved = { operation, from, to };
      });
      const after = await world.shardOf(KEY);
      assert.deepEqual([...after.replicas].sort(), [...before.replicas.filter((id) => id !== from), to].sort());
      assert.notEqual(after.leader, from);
      assert.deepEqual([after.state, after.operation_id, after.min_in_sync], ['ACTIVE', null, before.min_in_sync]);
      await world.settled();
      await world.verifyRows();
      assert.ok((await world.heldBy(to)).includes(before.shard_id));
      assert.ok(!(await world.heldBy(from)).includes(before.shard_id));
    },
  },
  {
    name: 'the operation of the move tells all that was promised of one',
    run: async (world) => {
      const { operation, from, to } = wasMoved();
      const { type, status, outcome, progress, waiting_on, error, cancellable, parent_id, eta_seconds } = operation;
      assert.deepEqual(
        { type, status, outcome, progress, waiting_on, error, cancellable, parent_id },
        {
          type: 'move-replica',
          status: 'SUCCEEDED',
          outcome: 'APPLIED',
          progress: { done: 2, total: 2, unit: 'replicas' },
          waiting_on: null,
          error: null,
          cancellable: false,
          parent_id: null,
        },
      );
      assert.ok(eta_seconds === null || eta_seconds === 0);
      const plan = operation.plan as Readonly<Record<string, unknown>>;
      assert.deepEqual([plan['source_node_id'], plan['target_node_id']], [from, to]);
      assert.ok(operation.created_by !== '' && operation.created_at <= operation.updated_at);
      assert.ok(operation.execution_arn !== null);
      const names = operation.steps.map(({ name }) => name);
      for (const step of ['claim', 'add-replicas', 'move-leader', 'remove-replicas']) assert.ok(names.includes(step));
      const listed = await world.operations(`type=move-replica&status=SUCCEEDED`);
      assert.ok(listed.some(({ operation_id }) => operation_id === operation.operation_id));
    },
  },
  {
    name: 'the history of its execution shows every step, and its end is told on the bus',
    only: 'cloud',
    run: async (world) => {
      const { operation } = wasMoved();
      assert.ok(operation.execution_arn !== null);
      const history = await world.deployment.executionHistory(operation.execution_arn);
      const states = history.flatMap(({ state }) => (state === null ? [] : [state]));
      const [first] = states;
      assert.equal(first, 'Begin');
      const steps = [
        'Claim',
        'AddReplicas',
        'CreateReplicas',
        'AwaitInSync',
        'MoveLeader',
        'RemoveReplicas',
        'Release',
      ];
      let last = 0;
      for (const step of steps) {
        const at = states.indexOf(step);
        assert.ok(at > last, `${step} comes in its order: ${states.join(' ')}`);
        last = at;
      }
      assert.equal(history.at(-1)?.type, 'ExecutionSucceeded');
      const { operation_id } = operation;
      await world.deployment.event('OPERATION_ENDED', { operation_id, status: 'SUCCEEDED' }, EVENT_MS_MAX);
    },
  },
  {
    name: 'shardctl moves it back and waits for the end',
    run: async (world) => {
      const { from, to } = wasMoved();
      const { shard_id } = await world.shardOf(KEY);
      const run = await shardctl(world, ...['shards', 'move', shard_id, '--from', to, '--to', from, '--watch']);
      assert.equal(run.exitCode, 0, run.stderr);
      assert.match(run.stdout, /SUCCEEDED/);
      assert.ok((await world.shardOf(KEY)).replicas.includes(from));
      await world.settled();
      await world.verifyRows();
    },
  },
];
