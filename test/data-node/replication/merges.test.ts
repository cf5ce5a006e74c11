import { SHARD_ID, threeNodes } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import {
  applyMerge,
  commitMerge,
  intendMerge,
  mergeUntold,
  RIGHT_ID,
  seal,
  sealedReceipt,
  toRight,
  twoShards,
} from './merging.ts';
import { applySplit, CHILD_ID, splitUntold, toChild } from './splitting.ts';

const NODES = ['n1', 'n2', 'n3'];
const ALL = 'abcxyz';

const keysOf = (cluster: Cluster, nodeId: string): string => Object.keys(cluster.committedRows(nodeId)).join('');
const isJoined = (cluster: Cluster, nodeId: string, rightId = RIGHT_ID): boolean =>
  !cluster.holds(nodeId, rightId) && cluster.replica(nodeId).meta.intact && keysOf(cluster, nodeId) === ALL;
const joinedOn = (cluster: Cluster, nodeIds = NODES): Promise<void> =>
  cluster.until('the parts are one copy', () => nodeIds.every((nodeId) => isJoined(cluster, nodeId)));

describe('a node learns of a merge', () => {
  it('by command: every copy is one, and the leader serves all keys at an epoch above both', async () => {
    const cluster = await twoShards();
    const merged = await mergeUntold(cluster);
    expect((await applyMerge(cluster, NODES)).map((ack) => ack.outcome)).toEqual(['DONE', 'DONE', 'DONE']);
    await cluster.until('it serves', () => cluster.serves('n1'));
    await joinedOn(cluster);
    for (const key of ALL) expect((await cluster.get('n1', key)).body).toMatchObject({ value: `${key}0` });
    expect((await cluster.put('n1', 'zz', 1)).status).toBe(200);
    expect((await cluster.put('n1', 'aa', 1)).body).toMatchObject({ epoch: merged.epoch });
    await cluster.run(600);
    for (const nodeId of NODES) expect(keysOf(cluster, nodeId)).toBe('aaabcxyzzz');
    expect(new Set(NODES.map((nodeId) => cluster.log(nodeId).join(' '))).size).toBe(1);
  });

  it('as a follower, from its leader: no command reached it', async () => {
    const cluster = await twoShards();
    await mergeUntold(cluster);
    for (const nodeId of ['n2', 'n3']) cluster.cut(nodeId, 'control');
    await applyMerge(cluster, ['n1']);
    await joinedOn(cluster);
    await cluster.until('it serves', () => cluster.serves('n1'));
    expect((await cluster.put('n1', 'y', 1)).status).toBe(200);
  });

  it('as a new leader, from its election: the old one died before anybody was told', async () => {
    const cluster = await twoShards();
    await mergeUntold(cluster);
    cluster.kill('n1');
    await cluster.failOver('n2');
    await joinedOn(cluster, ['n2', 'n3']);
    for (const key of ALL) expect((await cluster.get('n2', key)).body).toMatchObject({ value: `${key}0` });
    cluster.start('n1');
    expect((await cluster.put('n2', 'x', 1)).status).toBe(200);
  });

  it('from what it asks while it hears no leader: the absorbed copy is joined, not given up', async () => {
    const cluster = await twoShards();
    await mergeUntold(cluster);
    for (const other of ['n1', 'n2']) {
      cluster.cut('n3', other);
      cluster.cut(other, 'n3');
    }
    // Nobody could fill a copy that lacks a part.
    await cluster.until('the parts are one copy', () => isJoined(cluster, 'n3'), 30_000);
  });

  it('too late to join anything: the copy of the absorbed shard goes (R4; simulation, splits that leaders do not hear of, seed 5)', async () => {
    const cluster = await twoShards();
    const { controlPlane } = cluster;
    const listed = controlPlane.shard(SHARD_ID);
    const left = controlPlane.command('remove_replica', SHARD_ID, 'n3', listed);
    expect((await cluster.apply(left)).outcome).toBe('DONE');
    controlPlane.change(SHARD_ID, ({ replicas }) => ({ replicas: replicas.filter(({ node_id }) => node_id !== 'n3') }));
    await cluster.apply(controlPlane.command('become_leader', SHARD_ID, 'n1'));
    const disk = cluster.kill('n3');
    await cluster.run(3_000);
    await mergeUntold(cluster);
    await applyMerge(cluster, ['n1', 'n2']);
    await joinedOn(cluster, ['n1', 'n2']);
    cluster.start('n3', { engine: disk });
    expect(cluster.holds('n3', RIGHT_ID)).toBe(true);
    await cluster.until('it is gone', () => !cluster.holds('n3', RIGHT_ID), 30_000);
    expect(keysOf(cluster, 'n1')).toBe(ALL);
  });

  it('once: repeated commands and late ones of the absorbed shard change nothing', async () => {
    const cluster = await twoShards();
    const late = cluster.controlPlane.command('create_replica', RIGHT_ID, 'n2');
    const old = cluster.controlPlane.command('become_leader', RIGHT_ID, 'n1');
    await mergeUntold(cluster);
    await applyMerge(cluster, NODES);
    await applyMerge(cluster, NODES);
    expect(await cluster.apply(late)).toMatchObject({ outcome: 'REFUSED', code: 'REPLICA_UNKNOWN' });
    expect(await cluster.apply(old)).toMatchObject({ outcome: 'REFUSED' });
    await cluster.until('it serves', () => cluster.serves('n1'));
    await joinedOn(cluster);
  });

  it('after a crash: what was joined is there, what was not is joined then', async () => {
    const cluster = await twoShards();
    await mergeUntold(cluster);
    await applyMerge(cluster, ['n1', 'n2']);
    const disks = new Map(NODES.map((nodeId) => [nodeId, cluster.kill(nodeId)]));
    for (const [nodeId, engine] of disks) cluster.start(nodeId, { engine });
    cluster.controlPlane.electOfTheVoid(SHARD_ID, 'n2');
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n2'));
    await cluster.until('it serves', () => cluster.serves('n2'));
    await joinedOn(cluster);
  });
});

describe('the seal (S2)', () => {
  it('takes no writes any more, holds the whole log at every member, and bars the epoch', async () => {
    const cluster = await twoShards();
    intendMerge(cluster);
    const { sealed } = await sealedReceipt(cluster, SHARD_ID);
    for (const nodeId of NODES) expect(cluster.replica(nodeId).meta.last).toEqual(sealed);
    expect((await cluster.put('n1', 'a', 2)).body).toMatchObject({ code: 'NOT_LEADER' });
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n1'));
    await cluster.run(2_000);
    expect(cluster.serves('n1')).toBe(false);
  });

  it('is looked after: told of nothing, a sealed leader finds the merge by itself', async () => {
    const cluster = await twoShards();
    await mergeUntold(cluster);
    await cluster.until('it serves', () => cluster.serves('n1'));
    await joinedOn(cluster);
    for (const key of ALL) expect((await cluster.get('n1', key)).body).toMatchObject({ value: `${key}0` });
  });

  it('gives the same answer when it is repeated', async () => {
    const cluster = await twoShards();
    intendMerge(cluster);
    const first = await sealedReceipt(cluster, SHARD_ID);
    expect(await sealedReceipt(cluster, SHARD_ID)).toEqual(first);
  });

  it('is refused while a member of the ack set is behind, and the shard goes on serving', async () => {
    const cluster = await twoShards();
    intendMerge(cluster);
    cluster.reportsAre = 'LOST';
    cluster.cut('n1', 'n2');
    const written = cluster.ask('n1', 'put', { key: 'b', value: 9, write_id: 'w-behind' });
    await cluster.run(50);
    expect(await seal(cluster, SHARD_ID)).toMatchObject({ outcome: 'REFUSED', code: 'NOT_SETTLED', receipt: null });
    expect(cluster.serves('n1')).toBe(true);
    cluster.heal();
    cluster.reportsAre = 'ANSWERED';
    expect((await cluster.wait(written)).status).toBe(200);
    expect((await sealedReceipt(cluster, SHARD_ID)).sealed?.seq).toBe(cluster.replica('n2').meta.last.seq);
  });

  it('is not given for a term that ended by itself: its tail may be on this node alone', async () => {
    const cluster = await twoShards();
    intendMerge(cluster);
    cluster.reportsAre = 'LOST';
    cluster.cut('n1', 'n2');
    cluster.cut('n1', 'n3');
    const written = cluster.ask('n1', 'put', { key: 'b', value: 9, write_id: 'w-alone' });
    await cluster.run(50);
    await cluster.apply(cluster.controlPlane.command('step_down', SHARD_ID, 'n1'));
    expect(await seal(cluster, SHARD_ID)).toMatchObject({ outcome: 'REFUSED', code: 'NOT_SETTLED' });
    await cluster.wait(written);
  });

  it('is refused by a node that leads under another registration (E1)', async () => {
    const cluster = await twoShards();
    intendMerge(cluster);
    cluster.replaceRegistration('n1');
    expect(await seal(cluster, SHARD_ID)).toMatchObject({ outcome: 'REFUSED', code: 'NODE_EPOCH_MISMATCH' });
  });

  it('is taken back by a transfer to the old leader at the next epoch (E2)', async () => {
    const cluster = await twoShards();
    intendMerge(cluster);
    await sealedReceipt(cluster, SHARD_ID);
    cluster.controlPlane.change(SHARD_ID, () => ({ state: { kind: 'ACTIVE' } }));
    cluster.controlPlane.intend(SHARD_ID, 'n1');
    const { receipt } = await cluster.apply(cluster.controlPlane.command('step_down', SHARD_ID, 'n1'));
    cluster.controlPlane.transfer(SHARD_ID, 'n1', receipt!);
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n1'));
    await cluster.until('it serves again', () => cluster.serves('n1'));
    expect((await cluster.put('n1', 'a', 2)).status).toBe(200);
  });
});

describe('a joined copy', () => {
  it('remembers the writes of both parts (R6), and so does a copy that is filled from it', async () => {
    const cluster = await twoShards();
    await mergeUntold(cluster);
    await applyMerge(cluster, NODES);
    await cluster.until('it serves', () => cluster.serves('n1'));
    await cluster.put('n1', 'a', 'a1');
    await cluster.put('n1', 'x', 'x1');
    // Its directory lost its identity (L4): what it holds is replaced.
    cluster.start('n3', { engine: cluster.kill('n3'), storeUuid: 'store-new' });
    await cluster.until('n3 was filled', () => cluster.replica('n3').meta.intact);
    const { nodeEpoch } = cluster.controlPlane.node('n3');
    await cluster.until('n3 is in sync', () =>
      cluster.controlPlane
        .shard(SHARD_ID)
        .replicas.some((entry) => entry.node_id === 'n3' && entry.node_epoch === nodeEpoch),
    );
    await cluster.failOver('n3');
    expect((await cluster.put('n3', 'a', 'a0', { write_id: 'first-a' })).status).toBe(200);
    expect((await cluster.put('n3', 'x', 'x0', { write_id: 'first-x' })).status).toBe(200);
    expect((await cluster.get('n3', 'a')).body).toMatchObject({ value: 'a1' });
    expect((await cluster.get('n3', 'x')).body).toMatchObject({ value: 'x1' });
  });

  it('is made of halves of one split, whose rows share a storage: they are one again', async () => {
    const cluster = await threeNodes();
    for (const key of ALL) await cluster.put('n1', key, `${key}0`, { write_id: `first-${key}` });
    await cluster.run(600);
    await applySplit(cluster, NODES, await splitUntold(cluster, 'm'));
    await cluster.until('the child serves', () => cluster.serves('n1', CHILD_ID));
    expect((await cluster.put('n1', 'y', 'y0', toChild(cluster))).status).toBe(200);
    await cluster.run(600);
    await mergeUntold(cluster, CHILD_ID);
    await applyMerge(cluster, NODES);
    await cluster.until('joined', () => NODES.every((nodeId) => isJoined(cluster, nodeId, CHILD_ID)));
    expect(cluster.replica('n1').meta.segments).toHaveLength(1);
    await cluster.until('it serves', () => cluster.serves('n1'));
    await cluster.put('n1', 'a', 'a1');
    expect((await cluster.put('n1', 'a', 'a0', { write_id: 'first-a' })).status).toBe(200);
    expect((await cluster.get('n1', 'a')).body).toMatchObject({ value: 'a1' });
  });

  it.each(['the left part', 'the right part'] as const)(
    'is not made where %s is behind: it gets both parts by a snapshot',
    async (part) => {
      const cluster = await twoShards();
      const lost = part === 'the left part' ? SHARD_ID : RIGHT_ID;
      cluster.loses = ({ to, shardId }) => to === 'n3' && shardId === lost;
      const write = part === 'the left part' ? {} : toRight(cluster);
      expect((await cluster.put('n1', part === 'the left part' ? 'b' : 'y', 'late', write)).status).toBe(200);
      expect(cluster.controlPlane.inSync(lost)).toEqual(['n1', 'n2']);
      await mergeUntold(cluster);
      expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
      await applyMerge(cluster, NODES);
      expect(cluster.replica('n3').meta.intact).toBe(false);
      expect(cluster.holds('n3', RIGHT_ID)).toBe(false);
      cluster.loses = () => false;
      await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
      expect(cluster.committedRows('n3')).toEqual(cluster.committedRows('n1'));
    },
  );

  it('is never made of copies that do not end where their leaders sealed them, whoever says so', async () => {
    const cluster = await twoShards();
    intendMerge(cluster);
    const left = await sealedReceipt(cluster, SHARD_ID);
    const right = await sealedReceipt(cluster, RIGHT_ID);
    const wrong = { ...right, sealed: { ...right.sealed!, seq: right.sealed!.seq - 1 } };
    commitMerge(cluster, { left, right: wrong });
    await applyMerge(cluster, ['n2']);
    expect(cluster.replica('n2').meta.intact).toBe(false);
  });

  it('outlives a restart', async () => {
    const cluster = await twoShards();
    await mergeUntold(cluster);
    await applyMerge(cluster, NODES);
    await cluster.until('it serves', () => cluster.serves('n1'));
    await cluster.put('n1', 'y', 'y1');
    await cluster.run(600);
    const engine = cluster.kill('n1');
    cluster.start('n1', { engine });
    await cluster.failOver('n2');
    await cluster.until('n1 is in sync again', () => cluster.controlPlane.inSync(SHARD_ID).includes('n1'));
    await cluster.failOver('n1');
    expect((await cluster.get('n1', 'y')).body).toMatchObject({ value: 'y1' });
    expect((await cluster.get('n1', 'a')).body).toMatchObject({ value: 'a0' });
  });
});
