import { nodeId } from '../../shared/domain/ids.ts';
import { clusterHealth } from '../../shared/usecases/cluster-health.ts';
import { judgeNodes, leadersToMoveOff, moveLeadersOff, readConditions } from '../../shared/usecases/gray-failure.ts';
import { heartbeat } from '../../shared/usecases/heartbeat.ts';
import { listNodes } from '../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { readTarget } from '../../shared/usecases/replica-target.ts';
import { evenShards, tiledTable } from '../support/tiles.ts';
import { nodePrincipal, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

const BY = SYSTEM('reconciler');
const NODES = [1, 2, 3, 4, 5];

describe('gray failures and full disks', () => {
  let world: UseCaseWorld;
  let beats = 0;
  beforeEach(async () => {
    world = useCaseWorld();
    beats = 0;
    await registered(world, ...NODES);
    // Led by node 1, in sync on 1, 2 and 3.
    await world.directory.append(tiledTable, evenShards(6), { principal: 'test', action: 'SHARD_CREATED' });
  });
  afterEach(() => world.close());

  /** Ten seconds pass; every node tells its statistics; the tick judges them. */
  const beat = async (told: Record<number, { fsync?: number; client?: number; full?: boolean }> = {}) => {
    world.clock.advance(10_000);
    beats++;
    for (const node of NODES) {
      const { fsync = 2, client = 4, full = false } = told[node] ?? {};
      const stats = {
        shards: 6,
        leaders: 0,
        bytes: 0,
        requests_per_second: 10,
        fsync_ms_p99: fsync,
        client_ms_p99: client,
        disk_full: full,
        busiest: [],
      };
      const answer = await world.call(
        'heartbeat',
        heartbeat,
        {
          params: { node_id: `node-${node}` },
          body: { node_epoch: 1, incarnation: `inc-${node}`, sequence: beats, attestation: beats, stats },
        },
        nodePrincipal(node),
      );
      if (!answer.ok) throw new Error(answer.error.message);
    }
    await judgeNodes(world.deps);
  };
  const conditions = async (): Promise<string[]> =>
    (await readConditions(world.deps)).map(({ nodeId: id, pace, disk }) => `${id} ${pace} ${disk}`);

  test('a node is slow after three beats far above its peers, and normal again after fifteen good ones', async () => {
    for (let i = 0; i < 2; i++) await beat({ 1: { fsync: 80 } });
    expect(await conditions()).toEqual([]);
    await beat({ 1: { fsync: 80 } });
    expect(await conditions()).toEqual(['node-1 SLOW OK']);
    for (let i = 0; i < 14; i++) await beat();
    expect(await conditions()).toEqual(['node-1 SLOW OK']);
    await beat();
    expect(await conditions()).toEqual([]);
  });

  test('a beat speaks once, however often the tick looks at it', async () => {
    await beat({ 1: { fsync: 80 } });
    for (let i = 0; i < 5; i++) await judgeNodes(world.deps);
    expect(await conditions()).toEqual([]);
  });

  test('what is normal is not written: ticks over healthy nodes cost no write', async () => {
    await beat();
    const before = world.faults.calls.filter(({ method }) => method === 'write' || method === 'transact').length;
    await judgeNodes(world.deps);
    expect(world.faults.calls.filter(({ method }) => method === 'write' || method === 'transact')).toHaveLength(before);
    expect((await world.records.query('nodePace', { partition: {}, order: 'forward', limit: 10 })).items).toEqual([]);
  });

  test('shown on the node and in health, with the measure that tells', async () => {
    for (let i = 0; i < 3; i++) await beat({ 2: { client: 300 } });
    const listed = await world.call('listNodes', listNodes, {});
    if (!listed.ok) throw new Error(listed.error.message);
    expect(listed.value.nodes.map(({ node_id, slow }) => [node_id, slow])).toContainEqual(['node-2', true]);
    expect(listed.value.nodes.filter(({ slow }) => slow)).toHaveLength(1);
    const health = await world.call('clusterHealth', clusterHealth, {});
    if (!health.ok) throw new Error(health.error.message);
    expect(health.value.problems.join('\n')).toMatch(
      /node-2 is slow: clients' requests take 300 ms .* 4 ms on its peers/,
    );
  });

  test('leaders leave a slow node by transfer, spread over replicas that are in sync on good nodes', async () => {
    for (let i = 0; i < 3; i++) await beat({ 1: { fsync: 80 } });
    const moves = await leadersToMoveOff(world.deps);
    expect(moves.map(({ from, reason }) => `${from} ${reason}`)).toEqual(Array(6).fill('node-1 SLOW'));
    expect(moves.map(({ to }) => to).sort()).toEqual(['node-2', 'node-2', 'node-2', 'node-3', 'node-3', 'node-3']);
    expect(await leadersToMoveOff(world.deps, 4)).toHaveLength(4);
    world.answer((draft) => ({
      outcome: 'DONE',
      receipt: draft.type === 'step_down' ? { epoch: draft.shard.epoch, generation: draft.shard.generation } : null,
    }));
    await moveLeadersOff(world.deps, BY);
    for (let i = 0; i < 6; i++) expect((await world.shard(`shard-000000${i}`)).leader.nodeId).not.toBe('node-1');
    expect(await leadersToMoveOff(world.deps)).toEqual([]);
  });

  test('a full disk counts at once, moves leaders first, takes no replica, and ends with the first beat that denies it', async () => {
    await beat({ 1: { full: true }, 2: { full: true } });
    expect(await conditions()).toEqual(['node-1 NORMAL FULL', 'node-2 NORMAL FULL']);
    const moves = await leadersToMoveOff(world.deps);
    expect(moves.map(({ to, reason }) => `${to} ${reason}`)).toEqual(Array(6).fill('node-3 DISK_FULL'));
    const shard = await world.shard('shard-0000000');
    const elsewhere = { ...shard, replicas: shard.replicas.filter((one) => one.nodeId !== 'node-2') };
    expect((await readTarget(world.deps, elsewhere, nodeId('node-2')))?.room).toEqual({ freeBytes: 0, neededBytes: 1 });
    await beat();
    expect(await conditions()).toEqual([]);
    expect(await leadersToMoveOff(world.deps)).toEqual([]);
  });

  test('a node that stopped telling is judged anew when it is back', async () => {
    for (let i = 0; i < 3; i++) await beat({ 1: { fsync: 80 } });
    world.clock.advance(61_000);
    await judgeNodes(world.deps);
    expect(await conditions()).toEqual([]);
  });
});
