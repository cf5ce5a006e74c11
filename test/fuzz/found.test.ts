import { planRebalance } from '../../shared/domain/rebalance/plan.ts';
import { rebalanceShards } from '../../shared/usecases/rebalance.ts';
import { addBytes } from '../../shared/domain/rebalance/bytes.ts';
import { node as planNode, shard as planShard, snapshotOf } from '../domain/rebalance/cluster.ts';
import { apiWorld } from '../functions/world.ts';
import type { Answer, ApiWorld, RegisteredNode } from '../functions/world.ts';
import { registered, useCaseWorld } from '../support/use-case-world.ts';
import { finalItems } from '../support/world-checks.ts';

/** What the fuzzer found, request by request. Text that is no Unicode: test/functions/bad-input.test.ts. */
let world: ApiWorld;
let node: RegisteredNode;
let sequence = 0;
beforeAll(async () => {
  world = await apiWorld();
  node = await world.register({ id: 'node-101', port: 7101, zone: 'a' });
});
afterAll(() => world.close());

const stats = { shards: 1, leaders: 1, bytes: 1, requests_per_second: 1, fsync_ms_p99: 1, busiest: [] };
const shard = { shard_id: 'shard-1', role: 'LEADER', serving: true, bytes: 1, rows: 1, lag_entries: 0 };

function beat(over: object): Promise<Answer> {
  sequence += 1;
  const { nodeEpoch: node_epoch, incarnation, credential } = node;
  return world.call('POST', '/cluster/nodes/node-101/heartbeat', {
    token: credential,
    body: { node_epoch, incarnation, sequence, attestation: 1, stats: { ...stats, ...over } },
  });
}

describe('a heartbeat with measures that no store holds exactly (was: 500 after the lease was renewed)', () => {
  test.each([
    ['requests_per_second', { requests_per_second: 2 ** 53 + 2 }],
    ['fsync_ms_p99', { fsync_ms_p99: 1e300 }],
    ['client_ms_p99', { client_ms_p99: 1e300 }],
    ['split_lock_ms_max', { split_lock_ms_max: 1e16 }],
    ['bytes', { bytes: 2 ** 51 }],
    ['busiest[0].reads_per_second', { busiest: [{ ...shard, reads_per_second: 1e300 }] }],
    ['busiest[0].bytes', { busiest: [{ ...shard, bytes: 2 ** 51 }] }],
  ])('%s', async (field, over) => {
    const before = world.commits();
    const answer = await beat(over);
    expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST', field: `stats.${field}` } });
    expect(world.commits()).toBe(before);
  });

  test('the largest are taken, and what is next to nothing is nothing', async () => {
    expect(await beat({ requests_per_second: Number.MAX_SAFE_INTEGER, bytes: 2 ** 50 })).toMatchObject({ status: 200 });
    expect(await beat({ fsync_ms_p99: Number.MIN_VALUE, requests_per_second: 1e-150 })).toMatchObject({ status: 200 });
    const stored = await world.controlPlane.deps.records.get('nodeStats', { nodeId: 'node-101' as never });
    expect(stored?.value.stats).toMatchObject({ fsync_ms_p99: 0, requests_per_second: 0, bytes: 1 });
  });
});

test('a replica that claims the last epoch there is (was: its shard could never be recovered, 500)', async () => {
  const { nodeEpoch: node_epoch, incarnation, credential } = node;
  const report = (last_epoch: number) =>
    world.call('POST', '/cluster/nodes/node-101/reports', {
      token: credential,
      body: {
        node_epoch,
        incarnation,
        reports: [
          {
            type: 'silent_leader',
            shard_id: 'shard-1',
            replica_id: 'r-1',
            epoch: 1,
            generation: 1,
            store_uuid: 'store-1',
            log: { last_epoch, last_seq: 1, intact: true },
          },
        ],
      },
    });
  expect(await report(Number.MAX_SAFE_INTEGER)).toMatchObject({
    status: 400,
    body: { field: 'reports[0].log.last_epoch' },
  });
  expect(await report(2 ** 52)).toMatchObject({ status: 200 });
});

test('sums of what nodes tell stay numbers that an answer may hold (was: 500 of drains and rebalances)', () => {
  expect(addBytes(2, 3)).toBe(5);
  expect(addBytes(2 ** 52, 2 ** 53)).toBe(Number.MAX_SAFE_INTEGER);
});

test('a node whose fair share is next to nothing (was: 500, no store holds such a ratio exactly)', () => {
  const huge = { bytes: 2 ** 50 };
  const plan = planRebalance(
    snapshotOf({
      nodes: [planNode('a1', 'a', { state: 'UNHEALTHY' }), planNode('a2', 'a'), planNode('b1', 'b', { weight: 100 })],
      shards: [
        planShard('s0', ['a1', 'a2'], huge),
        planShard('s1', ['b1', 'a2'], { bytes: 1 }),
        planShard('s2', ['a1', 'a2'], huge),
      ],
    }),
  );
  expect(plan.summary.before.bytes?.most).toBe(1e6);
});

test('a plan that is out of date (was: its parts stayed in the store for good)', async () => {
  const own = useCaseWorld();
  try {
    await registered(own, 1, 2, 3);
    const before = finalItems(own.committed);
    const move = { shard_id: 'shard-1', generation: 1, from: 'node-1', to: 'node-2', reason: 'BALANCE' };
    const answer = await own.call('rebalanceShards', rebalanceShards, {
      body: { plan: { moves: [{ ...move, bytes: 1 }], leader_moves: [move] } },
    });
    expect(answer).toMatchObject({ ok: false, error: { code: 'PLAN_STALE' } });
    expect(finalItems(own.committed)).toEqual(before);
  } finally {
    own.close();
  }
});
