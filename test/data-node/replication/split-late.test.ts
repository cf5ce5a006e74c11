import type { WireDescriptor } from '../../../shared/contracts/node/descriptor.ts';
import { SHARD_ID, threeNodes } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { applyMerge, mergeUntold, RIGHT_ID, twoShards } from './merging.ts';
import { applySplit, CHILD_ID, commitSplit, intendSplit, prepareSplit, splitUntold } from './splitting.ts';

/**
 * A copy that was prepared and hears of the split late, after other things happened to either half. The right part lists it
 * IN_SYNC all the while, so its rows are those of an electable copy, until its own leader takes it off the list (R1, I-6).
 */

const NODES = ['n1', 'n2', 'n3'];

async function filled(): Promise<Cluster> {
  const cluster = await threeNodes();
  for (const key of 'abcdefghij') await cluster.put('n1', key, `${key}0`);
  await cluster.run(600);
  return cluster;
}

const keysOf = (cluster: Cluster, nodeId: string, shardId = SHARD_ID): string =>
  Object.keys(cluster.committedRows(nodeId, shardId)).join('');

/** No message of the other nodes reaches `nodeId`. */
function isolate(cluster: Cluster, nodeId: string): void {
  for (const other of NODES) if (other !== nodeId) cluster.cut(other, nodeId);
}

describe('a copy that has not forked yet keeps the right part', () => {
  it('when the left part is moved away from its node', async () => {
    const cluster = await filled();
    await splitUntold(cluster, 'f');
    isolate(cluster, 'n3');
    const remove = cluster.controlPlane.command('remove_replica', SHARD_ID, 'n3');
    cluster.controlPlane.change(SHARD_ID, ({ replicas }) => ({
      replicas: replicas.filter((replica) => replica.node_id !== 'n3'),
    }));
    const { generation } = cluster.controlPlane.shard(SHARD_ID);
    expect(await cluster.apply({ ...remove, generation })).toMatchObject({ outcome: 'DONE' });
    expect(cluster.holds('n3')).toBe(false);
    expect(keysOf(cluster, 'n3', CHILD_ID)).toBe('fghij');
  });

  it('when the left part is moved away while nobody can tell of the split: the command is refused, and sent again', async () => {
    const cluster = await filled();
    await splitUntold(cluster, 'f');
    isolate(cluster, 'n3');
    cluster.cut('n3', 'control');
    const remove = cluster.controlPlane.command('remove_replica', SHARD_ID, 'n3');
    expect(await cluster.apply(remove)).toMatchObject({ outcome: 'REFUSED' });
    cluster.heal();
    isolate(cluster, 'n3');
    expect(await cluster.apply(remove)).toMatchObject({ outcome: 'DONE' });
    expect(keysOf(cluster, 'n3', CHILD_ID)).toBe('fghij');
  });

  it('when the right part is to be created, and the left part can’t be looked up', async () => {
    const cluster = await filled();
    const { child } = await splitUntold(cluster, 'f');
    isolate(cluster, 'n3');
    cluster.cut('n3', 'control');
    const command = cluster.controlPlane.command('create_replica', CHILD_ID, 'n3', child);
    await cluster.apply(command);
    // An empty copy under an entry that is IN_SYNC could be elected as it is.
    expect(cluster.holds('n3', CHILD_ID) ? keysOf(cluster, 'n3', CHILD_ID) : 'fghij').toBe('fghij');
    cluster.heal();
    expect(await cluster.apply(command)).toMatchObject({ outcome: 'DONE' });
    expect(keysOf(cluster, 'n3', CHILD_ID)).toBe('fghij');
    expect(keysOf(cluster, 'n3')).toBe('abcde');
  });

  it('when the left part was split once more meanwhile', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    isolate(cluster, 'n3');
    // The right part can't do without n3.
    const child = cluster.controlPlane.change(CHILD_ID, () => ({ min_in_sync: 3 }));
    await applySplit(cluster, ['n1', 'n2'], { ...halves, child });
    await cluster.until('the left part does without n3', () => !cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    intendSplit(cluster, 'c', 'shard-1-middle');
    await prepareSplit(cluster, ['n1', 'n2']);
    await applySplit(cluster, ['n1', 'n2'], commitSplit(cluster));
    expect(cluster.controlPlane.inSync(CHILD_ID)).toContain('n3');
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n3'));
    expect(keysOf(cluster, 'n3')).toBe('ab');
    expect(cluster.holds('n3', 'shard-1-middle')).toBe(false);
    expect(keysOf(cluster, 'n3', CHILD_ID)).toBe('fghij');
  });
});

const LAST_ID = 'shard-last';

/** A split of `shardId` at `key`; all nodes prepare, and those that are not `untold` fork. */
async function splitLast(
  cluster: Cluster,
  shardId: string,
  key: string,
  untold: readonly string[] = [],
): Promise<void> {
  const { controlPlane } = cluster;
  const copyOf = (nodeId: string): string => `${LAST_ID}.${nodeId}`;
  controlPlane.change(shardId, ({ replicas }) => ({
    state: {
      kind: 'SPLITTING',
      operation_id: 'op-again',
      split_key: key,
      child: {
        shard_id: LAST_ID,
        replicas: replicas.map((one) => ({ parent_replica_id: one.replica_id, replica_id: copyOf(one.node_id) })),
      },
    },
  }));
  for (const nodeId of NODES) await cluster.apply(controlPlane.command('prepare_split', shardId, nodeId));
  const before = controlPlane.shard(shardId);
  const parent = controlPlane.change(shardId, () => ({ end_key: key, state: { kind: 'ACTIVE' } }));
  const last: WireDescriptor = {
    ...before,
    shard_id: LAST_ID,
    start_key: key,
    epoch: before.epoch + 1,
    generation: parent.generation,
    leader: { ...before.leader, replica_id: copyOf(before.leader.node_id) },
    replicas: before.replicas.map((one) => ({ ...one, replica_id: copyOf(one.node_id) })),
    state: { kind: 'ACTIVE' },
  };
  controlPlane.shards.set(last.shard_id, last);
  for (const nodeId of NODES.filter((one) => !untold.includes(one))) {
    const command = { ...controlPlane.command('apply_split', shardId, nodeId, parent), related: last };
    expect(await cluster.apply(command)).toMatchObject({ outcome: 'DONE' });
  }
}

it('a copy that has not forked yet keeps the right part when what it holds is merged away (S2)', async () => {
  const cluster = await twoShards();
  const { controlPlane } = cluster;
  isolate(cluster, 'n3');
  await splitLast(cluster, RIGHT_ID, 'y', ['n3']);
  controlPlane.change(LAST_ID, () => ({ min_in_sync: 3 }));
  await cluster.until('both parts do without n3', () =>
    [SHARD_ID, RIGHT_ID].every((shardId) => !controlPlane.inSync(shardId).includes('n3')),
  );
  await mergeUntold(cluster);
  await applyMerge(cluster, ['n1', 'n2']);
  expect(controlPlane.inSync(LAST_ID)).toContain('n3');
  await cluster.apply(controlPlane.command('apply_merge', SHARD_ID, 'n3'));
  expect(cluster.holds('n3', RIGHT_ID)).toBe(false);
  expect(keysOf(cluster, 'n3', LAST_ID)).toBe('yz');
});

it('a write in flight through two splits is acknowledged when the last part has committed it (I-6)', async () => {
  const cluster = await filled();
  const halves = await splitUntold(cluster, 'f');
  for (const nodeId of ['n2', 'n3']) cluster.cut('n1', nodeId);
  const pending = cluster.ask('n1', 'put', { key: 'hx', value: 1, write_id: 'w-hx' });
  await cluster.run(1);
  await applySplit(cluster, NODES, halves);
  // The left part commits the entry, of which the followers took no row; the write waits for the right part.
  cluster.loses = ({ shardId }) => shardId !== SHARD_ID;
  cluster.heal();
  await cluster.until('the left part has committed it', () => {
    const { meta, commitSeq } = cluster.replica('n1');
    return commitSeq === meta.last.seq;
  });
  await splitLast(cluster, CHILD_ID, 'h');
  cluster.loses = ({ shardId }) => shardId === LAST_ID;
  const answer = await cluster.wait(pending);
  const followers = ['n2', 'n3'].map((nodeId) => keysOf(cluster, nodeId, LAST_ID));
  expect([answer.status, followers]).not.toEqual([200, ['hij', 'hij']]);
  expect(answer.body).toMatchObject({ code: 'UNKNOWN_OUTCOME' });
});
