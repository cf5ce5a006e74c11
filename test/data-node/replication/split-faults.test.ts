import { SHARD_ID, threeNodes } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { applySplit, CHILD_ID, commitSplit, intendSplit, prepareSplit, splitUntold, toChild } from './splitting.ts';

const NODES = ['n1', 'n2', 'n3'];

/** Rows a..j, written through the leader. */
async function filled(): Promise<Cluster> {
  const cluster = await threeNodes();
  for (const key of 'abcdefghij') await cluster.put('n1', key, `${key}0`, { write_id: `first-${key}` });
  await cluster.run(600);
  return cluster;
}

const keysOf = (cluster: Cluster, nodeId: string, shardId?: string): string =>
  Object.keys(cluster.committedRows(nodeId, shardId)).join('');

const rowsAt = (cluster: Cluster, nodeId: string, shardId?: string): Record<string, unknown> =>
  cluster.holds(nodeId, shardId) ? cluster.committedRows(nodeId, shardId) : {};

async function bothHalvesEverywhere(cluster: Cluster, left = 'abcde', right = 'fghij'): Promise<void> {
  await cluster.until('both halves are everywhere', () =>
    NODES.every(
      (nodeId) =>
        cluster.holds(nodeId, CHILD_ID) &&
        keysOf(cluster, nodeId) === left &&
        keysOf(cluster, nodeId, CHILD_ID) === right,
    ),
  );
}

describe('a node learns of a split', () => {
  it('as a follower, from the leader of either half: no command reached it', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    for (const nodeId of ['n2', 'n3']) cluster.cut(nodeId, 'control');
    await applySplit(cluster, ['n1'], halves);
    expect((await cluster.put('n1', 'k', 1, toChild(cluster))).status).toBe(200);
    expect((await cluster.put('n1', 'aa', 1)).status).toBe(200);
    await cluster.run(600);
    for (const nodeId of NODES) expect(keysOf(cluster, nodeId, CHILD_ID)).toBe('fghijk');
  });

  it('as the leader, from followers that forked first', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    await applySplit(cluster, ['n2', 'n3'], halves);
    expect(cluster.holds('n1', CHILD_ID)).toBe(false);
    await cluster.until('the leader forked', () => cluster.holds('n1', CHILD_ID));
    expect(cluster.forks.find(({ nodeId }) => nodeId === 'n1')).toMatchObject({ continued: true });
    expect((await cluster.get('n1', 'g', toChild(cluster))).body).toMatchObject({ value: 'g0' });
  });

  it.each(['create_replica', 'become_leader', 'step_down'] as const)(
    'by a command %s for a right part that it has not forked yet',
    async (type) => {
      const cluster = await filled();
      const { child } = await splitUntold(cluster, 'f');
      const ack = await cluster.apply(cluster.controlPlane.command(type, CHILD_ID, 'n1', child));
      expect(ack.outcome).not.toBe('REFUSED');
      expect(keysOf(cluster, 'n1', CHILD_ID)).toBe('fghij');
      expect(cluster.replica('n1').meta.descriptor).toMatchObject({ end_key: 'f' });
      // S1 (m): the promise about the child comes after the fork.
      if (type === 'step_down') expect(ack.receipt).toMatchObject({ shard_id: CHILD_ID, epoch: 2 });
    },
  );

  it('once: repeated and late commands change nothing', async () => {
    const cluster = await filled();
    intendSplit(cluster, 'f');
    const late = cluster.controlPlane.command('prepare_split', SHARD_ID, 'n2');
    await prepareSplit(cluster, NODES);
    const halves = commitSplit(cluster);
    await applySplit(cluster, NODES, halves);
    await cluster.put('n1', 'k', 1, toChild(cluster));
    expect((await applySplit(cluster, NODES, halves)).map((ack) => ack.outcome)).toEqual(['DONE', 'DONE', 'DONE']);
    expect(await cluster.apply(late)).toMatchObject({ outcome: 'REFUSED', code: 'STALE_GENERATION' });
    expect(cluster.forks).toHaveLength(3);
    await cluster.run(600);
    for (const nodeId of NODES) expect(keysOf(cluster, nodeId, CHILD_ID)).toBe('fghijk');
  });

  it('not from a smaller range alone: another split may have been made at the same key', async () => {
    const cluster = await filled();
    intendSplit(cluster, 'f');
    await prepareSplit(cluster, NODES);
    // Given up, and split at the same key by another operation, while the nodes heard nothing.
    cluster.controlPlane.change(SHARD_ID, () => ({ state: { kind: 'ACTIVE' } }));
    const parent = cluster.controlPlane.change(SHARD_ID, () => ({ end_key: 'f' }));
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n2', parent));
    expect(cluster.holds('n2', CHILD_ID)).toBe(false);
    expect(keysOf(cluster, 'n2')).toBe('abcde');
  });

  it('of a preparation also by a command from before a change that left the intent alone', async () => {
    const cluster = await filled();
    intendSplit(cluster, 'f');
    const command = cluster.controlPlane.command('prepare_split', SHARD_ID, 'n2');
    cluster.controlPlane.change(SHARD_ID, () => ({}));
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n2'));
    expect(await cluster.apply(command)).toMatchObject({ outcome: 'DONE' });
    cluster.controlPlane.change(SHARD_ID, () => ({ state: { kind: 'ACTIVE' } }));
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n2'));
    expect(await cluster.apply(command)).toMatchObject({ outcome: 'REFUSED', code: 'STALE_GENERATION' });
  });

  it('and forgets an intent that was given up', async () => {
    const cluster = await filled();
    intendSplit(cluster, 'f');
    await prepareSplit(cluster, NODES);
    cluster.controlPlane.change(SHARD_ID, () => ({ state: { kind: 'ACTIVE' } }));
    for (const nodeId of NODES) await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, nodeId));
    expect((await cluster.put('n1', 'h', 'h1')).status).toBe(200);
    const halves = await splitUntold(cluster, 'c');
    await applySplit(cluster, NODES, halves);
    await cluster.run(600);
    for (const nodeId of NODES) {
      expect(keysOf(cluster, nodeId)).toBe('ab');
      expect(cluster.replica(nodeId, CHILD_ID).meta).toMatchObject({ rows: 8, bytes: 8 * 5 });
    }
  });
});

describe('no write is lost or applied twice by a split', () => {
  it('since a follower that forked takes nothing from a leader that does not know of it', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    cluster.cut('n1', 'control');
    await applySplit(cluster, ['n2', 'n3'], halves);
    const served = cluster.served.length;
    for (const key of ['hx', 'bx']) void cluster.ask('n1', 'put', { key, value: 1, write_id: `w-${key}` });
    await cluster.run(4_000);
    // Were `hx` acknowledged now, the right part's next leader would not have it.
    expect(cluster.served.slice(served)).toEqual([]);
    cluster.kill('n1');
    await cluster.failOver('n2', CHILD_ID);
    await cluster.failOver('n3');
    expect((await cluster.get('n2', 'hx', toChild(cluster))).body).toMatchObject({ found: false });
  });

  it('when the leader learns of it while writes to both halves are in flight', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    cluster.cut('n1', 'control');
    await applySplit(cluster, ['n2', 'n3'], halves);
    const pending = Promise.all([
      cluster.ask('n1', 'put', { key: 'hx', value: 1, write_id: 'w-hx' }),
      cluster.ask('n1', 'put', { key: 'bx', value: 1, write_id: 'w-bx' }),
      cluster.ask('n1', 'batch', {
        write_id: 'w-both',
        rows: [
          { op: 'put', key: 'by', value: 1 },
          { op: 'put', key: 'hy', value: 1 },
        ],
      }),
    ]);
    await cluster.run(300);
    cluster.heal();
    const answers = await cluster.wait(pending);
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
    const again = await cluster.put('n1', 'hx', 1, { write_id: 'w-hx', ...toChild(cluster) });
    expect(again.body['timestamp']).toBe(answers[0]?.body['timestamp']);
    await cluster.run(600);
    for (const nodeId of NODES) {
      expect(Object.keys(cluster.committedRows(nodeId))).toEqual(['a', 'b', 'bx', 'by', 'c', 'd', 'e']);
      expect(Object.keys(cluster.committedRows(nodeId, CHILD_ID))).toEqual(['f', 'g', 'h', 'hx', 'hy', 'i', 'j']);
    }
    cluster.kill('n1');
    await cluster.failOver('n3', CHILD_ID);
    expect((await cluster.get('n3', 'hx', toChild(cluster))).body).toMatchObject({ value: 1 });
  });

  it('even if the right part alone can’t be reached: such a write is not acknowledged by the left one', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    cluster.cut('n1', 'control');
    await applySplit(cluster, ['n2', 'n3'], halves);
    const pending = ['hx', 'bx'].map((key) => cluster.ask('n1', 'put', { key, value: 1, write_id: `w-${key}` }));
    await cluster.run(300);
    cluster.loses = ({ shardId }) => shardId === CHILD_ID;
    cluster.heal();
    const [right, left] = await cluster.wait(Promise.all(pending));
    expect([left?.status, right?.body['code']]).toEqual([200, 'UNKNOWN_OUTCOME']);
    cluster.kill('n1');
    cluster.loses = () => false;
    const next = cluster.controlPlane.inSync(CHILD_ID).find((nodeId) => nodeId !== 'n1') ?? '';
    await cluster.failOver(next, CHILD_ID);
    expect((await cluster.get(next, 'hx', toChild(cluster))).body).toMatchObject({ found: false });
  });

  it('when a follower forks later than its leader: it took nothing from it in between', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    cluster.loses = ({ to, verb }) => to === 'n3' && verb === 'open';
    await applySplit(cluster, ['n1', 'n2'], halves);
    const pending = cluster.ask('n1', 'put', { key: 'bx', value: 1, write_id: 'w-bx' });
    await cluster.run(800);
    expect(cluster.holds('n3', CHILD_ID)).toBe(false);
    cluster.loses = () => false;
    expect((await cluster.wait(pending)).status).toBe(200);
    expect((await cluster.put('n1', 'hx', 1, toChild(cluster))).status).toBe(200);
    await cluster.until('n3 has all', () => 'hx' in rowsAt(cluster, 'n3', CHILD_ID) && 'bx' in rowsAt(cluster, 'n3'));
    expect(rowsAt(cluster, 'n3', CHILD_ID)).toEqual(rowsAt(cluster, 'n1', CHILD_ID));
  });

  it('whichever copy leads afterwards, and wherever each of them was forked', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    // n3 hears nothing more; n1 and n2 fork, go on, and die or change places before n3 forks.
    for (const other of ['n1', 'n2']) cluster.cut(other, 'n3');
    const inFlight = ['fx', 'ax'].map((key) => cluster.ask('n1', 'put', { key, value: 1, write_id: `w-${key}` }));
    await cluster.run(1);
    await applySplit(cluster, ['n2', 'n1'], halves);
    await cluster.wait(Promise.all(inFlight));
    await cluster.until('n3 is out of both', () =>
      [SHARD_ID, CHILD_ID].every((shardId) => !cluster.controlPlane.inSync(shardId).includes('n3')),
    );
    expect((await cluster.put('n1', 'gx', 1, toChild(cluster))).status).toBe(200);
    expect((await cluster.put('n1', 'cx', 1)).status).toBe(200);
    const disk = cluster.kill('n1');
    cluster.heal();
    await cluster.failOver('n2', CHILD_ID);
    await cluster.failOver('n2');
    cluster.start('n1', { engine: disk });
    await cluster.until('all are in sync again', () =>
      [SHARD_ID, CHILD_ID].every((shardId) => cluster.controlPlane.inSync(shardId).length === 3),
    );
    expect((await cluster.put('n2', 'last', 1, toChild(cluster))).status).toBe(200);
    await cluster.run(600);
    for (const nodeId of NODES) {
      expect(cluster.committedRows(nodeId)).toEqual(cluster.committedRows('n2'));
      expect(cluster.committedRows(nodeId, CHILD_ID)).toEqual(cluster.committedRows('n2', CHILD_ID));
    }
    expect(cluster.committedRows('n2', CHILD_ID)).toMatchObject({ fx: 1, gx: 1, last: 1 });
    expect(cluster.committedRows('n2')).toMatchObject({ ax: 1, cx: 1 });
  });

  it('when a write is repeated at the right part, under any later leader (R6)', async () => {
    const cluster = await filled();
    const first = await cluster.put('n1', 'h', 'h1', { write_id: 'once' });
    const halves = await splitUntold(cluster, 'f');
    await applySplit(cluster, NODES, halves);
    const again = await cluster.put('n1', 'h', 'h1', { write_id: 'once', ...toChild(cluster) });
    expect(again.body['timestamp']).toBe(first.body['timestamp']);
    expect(await cluster.put('n1', 'h', 'other', { write_id: 'once', ...toChild(cluster) })).toMatchObject({
      body: { code: 'WRITE_ID_REUSED' },
    });
    cluster.kill('n1');
    await cluster.failOver('n3', CHILD_ID);
    const third = await cluster.put('n3', 'h', 'h1', { write_id: 'once', ...toChild(cluster) });
    expect(third.body['timestamp']).toBe(first.body['timestamp']);
  });
});

describe('a split outlives', () => {
  it.each([
    ['the intent', 0],
    ['the preparation', 1],
    ['the commit, untold', 2],
    ['the fork of one follower', 3],
    ['the fork of the leader', 4],
  ])('a crash of every node after %s', async (_what, phase) => {
    const cluster = await filled();
    intendSplit(cluster, 'f');
    const tell = (): Promise<unknown> =>
      Promise.all(
        NODES.map((nodeId) => cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, nodeId))),
      );
    if (phase === 0) await tell();
    if (phase >= 1) await prepareSplit(cluster, NODES);
    if (phase >= 2) commitSplit(cluster);
    const halves = (): Parameters<typeof applySplit>[2] => ({
      parent: cluster.controlPlane.shard(SHARD_ID),
      child: cluster.controlPlane.shard(CHILD_ID),
    });
    if (phase === 3) await applySplit(cluster, ['n2'], halves());
    if (phase === 4) await applySplit(cluster, ['n1'], halves());
    const disks = NODES.map((nodeId) => [nodeId, cluster.kill(nodeId)] as const);
    for (const [nodeId, engine] of disks) cluster.start(nodeId, { engine });
    cluster.controlPlane.electOfTheVoid(SHARD_ID, 'n2');
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n2'));
    if (phase < 2) {
      await cluster.until('in sync', () => cluster.controlPlane.inSync(SHARD_ID).length === 3 && cluster.serves('n2'));
      await cluster.until('entries are current', () =>
        cluster.controlPlane
          .shard(SHARD_ID)
          .replicas.every((replica) => replica.node_epoch === cluster.controlPlane.node(replica.node_id).nodeEpoch),
      );
      await prepareSplit(cluster, NODES);
      commitSplit(cluster);
      await applySplit(cluster, NODES, halves());
    } else {
      cluster.controlPlane.electOfTheVoid(CHILD_ID, 'n3');
      await cluster.apply(cluster.controlPlane.command('become_leader', CHILD_ID, 'n3'));
    }
    await bothHalvesEverywhere(cluster);
    const childLeader = cluster.controlPlane.shard(CHILD_ID).leader.node_id;
    await cluster.until('the right part serves', () => cluster.serves(childLeader, CHILD_ID));
    const again = await cluster.put(childLeader, 'j', 'j0', { write_id: 'first-j', ...toChild(cluster) });
    expect(again.status).toBe(200);
    expect(cluster.traffic.filter((message) => message.verb === 'snapshot')).toEqual([]);
  });

  it('the absence of a replica: it gets the right part by snapshot, and only that', async () => {
    const cluster = await filled();
    const disk = cluster.kill('n3');
    await cluster.until('n3 is out', () => !cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    const halves = await splitUntold(cluster, 'f', ['n1', 'n2']);
    await applySplit(cluster, ['n1', 'n2'], halves);
    cluster.start('n3', { engine: disk });
    await cluster.until('n3 has the left part', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    await cluster.apply(cluster.controlPlane.command('create_replica', CHILD_ID, 'n3'));
    await cluster.until('n3 has both', () => cluster.controlPlane.inSync(CHILD_ID).includes('n3'));
    await cluster.run(600);
    await bothHalvesEverywhere(cluster);
    expect(cluster.replica('n3', CHILD_ID).meta).toMatchObject({ rows: 5, bytes: 25 });
    expect(cluster.replica('n3').meta).toMatchObject({ rows: 5, bytes: 25 });
    const again = await cluster.put('n1', 'h', 'h0', { write_id: 'first-h', ...toChild(cluster) });
    expect(again.status).toBe(200);
    await cluster.failOver('n3', CHILD_ID);
    expect((await cluster.put('n3', 'h', 'h0', { write_id: 'first-h', ...toChild(cluster) })).body['timestamp']).toBe(
      again.body['timestamp'],
    );
  });

  it('a new copy of the left part, which does not get rows of the right one', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    await applySplit(cluster, NODES, halves);
    cluster.kill('n3');
    await cluster.until('n3 is out', () => !cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    cluster.start('n3', { storeUuid: 'store-n3-new' });
    await cluster.apply(cluster.controlPlane.command('create_replica', SHARD_ID, 'n3'));
    await cluster.until('n3 has the left part', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    const sent = cluster.traffic.filter((message) => message.verb === 'snapshot' && message.to === 'n3');
    expect(JSON.stringify(sent)).not.toContain('h0');
    await cluster.run(600);
    expect(keysOf(cluster, 'n3')).toBe('abcde');
  });

  it('a second split of either half', async () => {
    const cluster = await filled();
    await applySplit(cluster, NODES, await splitUntold(cluster, 'f'));
    const left = cluster.controlPlane.shard(SHARD_ID);
    const again = await splitAt(cluster, 'c', 'shard-1-middle');
    expect(again).toEqual(['DONE', 'DONE', 'DONE']);
    await cluster.run(600);
    expect(left.end_key).toBe('f');
    for (const nodeId of NODES) {
      expect(keysOf(cluster, nodeId)).toBe('ab');
      expect(keysOf(cluster, nodeId, 'shard-1-middle')).toBe('cde');
      expect(keysOf(cluster, nodeId, CHILD_ID)).toBe('fghij');
    }
    const repeated = await cluster.put('n1', 'd', 'd0', { write_id: 'first-d', shard_id: 'shard-1-middle', epoch: 2 });
    expect(repeated.status).toBe(200);
    expect(cluster.replica('n1', 'shard-1-middle').meta.last).toEqual({ epoch: 2, seq: expect.any(Number) as number });
  });
});

/** Splits the left part once more, into a child of another id. */
async function splitAt(cluster: Cluster, key: string, childId: string): Promise<string[]> {
  intendSplit(cluster, key, childId);
  await prepareSplit(cluster, NODES);
  const halves = commitSplit(cluster);
  return (await applySplit(cluster, NODES, halves)).map((ack) => ack.outcome);
}
