import { HISTORY_ENTRIES_MAX } from '../../../data-node/engine/history.ts';
import { Cluster, SHARD_ID, threeNodes } from './cluster.ts';

/** Fills the leader's log with `entries` batches, through the engine's own limits of history. */
async function fill(cluster: Cluster, entries: number): Promise<void> {
  const parallel = 500;
  for (let start = 0; start < entries; start += parallel) {
    const writes = Array.from({ length: Math.min(parallel, entries - start) }, (_, index) =>
      cluster.ask('n1', 'put', {
        key: `k${(start + index) % 900}`,
        value: start + index,
        write_id: `f-${start + index}`,
      }),
    );
    for (const answer of await cluster.wait(Promise.all(writes))) expect(answer.status).toBe(200);
  }
}

/** A new node gets a replica of the shard, and becomes IN_SYNC. */
async function addEmptyReplica(cluster: Cluster, nodeId: string): Promise<void> {
  const { controlPlane } = cluster;
  cluster.start(nodeId);
  controlPlane.change(SHARD_ID, (shard) => ({
    replicas: [...shard.replicas, controlPlane.entry(nodeId, 'added', 'LAGGING')],
  }));
  await cluster.apply(controlPlane.command('create_replica', SHARD_ID, nodeId));
  await cluster.apply(controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
  await cluster.until(`${nodeId} is in sync`, () => controlPlane.inSync(SHARD_ID).includes(nodeId));
}

describe('catch-up', () => {
  it('is by log while the leader keeps what is missing', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n3');
    await fill(cluster, 1_500);
    cluster.start('n3', { engine: disk });
    await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    expect(cluster.traffic.filter((message) => message.verb === 'snapshot')).toEqual([]);
    await cluster.run(500);
    expect(cluster.committedRows('n3')).toEqual(cluster.committedRows('n1'));
  });

  it('of few entries with many bytes keeps its pace, and no write waits for it', async () => {
    const tuning = { snapshotBytesPerSecond: 500_000 };
    const cluster = new Cluster();
    for (const nodeId of ['n1', 'n2', 'n3']) cluster.start(nodeId, { tuning });
    await cluster.createShard(['n1', 'n2', 'n3']);
    const disk = cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    for (let i = 0; i < 12; i++) await cluster.put('n1', `big${i}`, 'x'.repeat(200_000));
    const startMs = cluster.time.nowMs();
    cluster.start('n3', { engine: disk, tuning });
    let slowestMs = 0;
    while (!cluster.controlPlane.inSync(SHARD_ID).includes('n3')) {
      const beforeMs = cluster.time.nowMs();
      expect((await cluster.put('n1', 'meanwhile', beforeMs)).status).toBe(200);
      slowestMs = Math.max(slowestMs, cluster.time.nowMs() - beforeMs);
      await cluster.run(50);
    }
    expect(slowestMs).toBeLessThan(100);
    expect(cluster.time.nowMs() - startMs).toBeGreaterThan(2_000);
    expect(cluster.traffic.filter((message) => message.verb === 'snapshot')).toEqual([]);
    await cluster.run(500);
    expect(cluster.committedRows('n3')).toEqual(cluster.committedRows('n1'));
  });

  it('of an empty copy is by snapshot where the rows are fewer bytes than the log', async () => {
    const cluster = await threeNodes();
    for (let i = 0; i < 5; i++) await cluster.put('n1', 'hot', `${i}`.repeat(100_000));
    await addEmptyReplica(cluster, 'n4');
    expect(cluster.traffic.some((message) => message.verb === 'snapshot' && message.to === 'n4')).toBe(true);
    await cluster.run(500);
    expect(cluster.committedRows('n4')).toEqual(cluster.committedRows('n1'));
  });

  it('is by snapshot when the log no longer reaches back, write ids included (R6)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'old', 'row');
    const first = await cluster.put('n1', 'once', 1, { write_id: 'once' });
    await cluster.put('n1', 'gone', 1);
    const disk = cluster.kill('n3');
    await cluster.wait(cluster.ask('n1', 'delete', { key: 'gone', write_id: 'd-1' }));
    await fill(cluster, HISTORY_ENTRIES_MAX + 600);
    expect(cluster.replica('n1').meta.base.seq).toBeGreaterThan(4);
    cluster.start('n3', { engine: disk });
    // Writes go on while the snapshot is under way.
    expect((await cluster.put('n1', 'meanwhile', true)).status).toBe(200);
    await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    expect(cluster.traffic.some((message) => message.verb === 'snapshot' && message.to === 'n3')).toBe(true);
    await cluster.run(500);
    const rows = cluster.committedRows('n1');
    expect(Object.keys(rows)).toHaveLength(903);
    expect(cluster.committedRows('n3')).toEqual(rows);
    const { rows: count, bytes } = cluster.replica('n1').meta;
    expect(cluster.replica('n3').meta).toMatchObject({ rows: count, bytes });
    await cluster.failOver('n3');
    const again = await cluster.put('n3', 'once', 1, { write_id: 'once' });
    expect(again.body['timestamp']).toBe(first.body['timestamp']);
  }, 120_000);

  it('survives a follower that dies in the middle of a snapshot: the old copy stays until the new one is whole', async () => {
    const cluster = await threeNodes();
    for (let i = 0; i < 12; i++) await cluster.put('n1', `big${i}`, 'x'.repeat(200_000));
    const disk = cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    cluster.start('n3', { engine: disk, storeUuid: 'store-n3-new' });
    const chunks = (): number =>
      cluster.traffic.filter((message) => message.verb === 'snapshot' && message.to === 'n3').length;
    await cluster.until('two chunks arrived', () => chunks() === 2);
    const half = cluster.kill('n3');
    expect(half.replica(SHARD_ID)).toMatchObject({ intact: false, storeUuid: 'store-n3' });
    cluster.start('n3', { engine: half });
    await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    await cluster.run(500);
    expect(cluster.committedRows('n3')).toEqual(cluster.committedRows('n1'));
  });

  it('adds an empty replica with a new id, which becomes electable (R4)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    await addEmptyReplica(cluster, 'n4');
    await cluster.failOver('n4');
    expect((await cluster.get('n4', 'k')).body).toMatchObject({ value: 1 });
  });
});
