import type { Tuning } from '../../../data-node/replication/tuning.ts';
import { Cluster, SHARD_ID } from './cluster.ts';

const NODES = ['n1', 'n2', 'n3'];

/** Three nodes with about 2.4 MB; `n3` comes back with a directory that needs all of it. */
async function wiped(tuning: Partial<Tuning>): Promise<Cluster> {
  const cluster = new Cluster();
  for (const nodeId of NODES) cluster.start(nodeId, { tuning });
  await cluster.createShard(NODES);
  for (let i = 0; i < 12; i++) await cluster.put('n1', `big${i}`, 'x'.repeat(200_000));
  const disk = cluster.kill('n3');
  await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
  cluster.start('n3', { engine: disk, storeUuid: 'store-n3-new', tuning });
  return cluster;
}

const chunksTo = (cluster: Cluster, nodeId: string): unknown[] =>
  cluster.traffic
    .filter((message) => message.verb === 'snapshot' && message.to === nodeId)
    .map((message) => (message.body as Record<string, unknown>)['chunk']);

describe('a snapshot', () => {
  it('keeps to the bytes a second of its node, and holds back no write', async () => {
    const cluster = await wiped({ snapshotBytesPerSecond: 500_000 });
    await cluster.until('the first chunk is there', () => chunksTo(cluster, 'n3').length > 0);
    const startMs = cluster.time.nowMs();
    let slowestMs = 0;
    for (let i = 0; i < 20; i++) {
      const beforeMs = cluster.time.nowMs();
      expect((await cluster.put('n1', `meanwhile${i}`, i)).status).toBe(200);
      slowestMs = Math.max(slowestMs, cluster.time.nowMs() - beforeMs);
      await cluster.run(100);
    }
    await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    const tookMs = cluster.time.nowMs() - startMs;
    // 2.4 MB; the first chunk needs not wait, and a chunk is below 0.5 MB and goes out as a whole.
    expect(tookMs).toBeGreaterThan(3_500);
    expect(tookMs).toBeLessThan(6_500);
    expect(slowestMs).toBeLessThan(100);
  });

  it('shows how far it has come in the statistics of the node that takes it', async () => {
    const cluster = await wiped({ snapshotBytesPerSecond: 500_000 });
    const told = (): { bytes: number } | undefined =>
      cluster
        .host('n3')
        .stats()
        .busiest.find((shard) => shard.shard_id === SHARD_ID);
    await cluster.until('the first chunk is taken', () => chunksTo(cluster, 'n3').length > 1);
    const seen: number[] = [];
    while (!cluster.controlPlane.inSync(SHARD_ID).includes('n3')) {
      const bytes = told()?.bytes ?? 0;
      if (bytes !== seen.at(-1)) seen.push(bytes);
      await cluster.run(200);
    }
    expect(seen.length).toBeGreaterThan(5);
    expect(seen).toEqual(seen.toSorted((left, right) => left - right));
    expect(told()?.bytes).toBe(cluster.host('n1').stats().bytes);
  });

  it('goes on where it was when a chunk, or its answer, is lost', async () => {
    const cluster = await wiped({ snapshotChunkTimeoutMs: 500 });
    let answers = 0;
    let requests = 0;
    cluster.losesAnswer = ({ from, verb }) => from === 'n3' && verb === 'snapshot' && ++answers === 2;
    cluster.loses = ({ to, verb }) => to === 'n3' && verb === 'snapshot' && ++requests === 5;
    await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    const chunks = chunksTo(cluster, 'n3');
    expect(chunks.filter((chunk) => chunk === 0)).toHaveLength(1);
    expect(chunks.filter((chunk) => chunk === 1)).toHaveLength(2);
    await cluster.run(500);
    expect(cluster.committedRows('n3')).toEqual(cluster.committedRows('n1'));
  });

  it('is taken once even if the answer to its last chunk is lost', async () => {
    const cluster = await wiped({ snapshotChunkTimeoutMs: 500 });
    let lost = 0;
    cluster.losesAnswer = ({ from, verb }) => {
      const last = cluster.traffic.findLast((message) => message.verb === 'snapshot' && message.to === 'n3');
      const isLast = (last?.body as Record<string, unknown> | undefined)?.['last'] === true;
      return from === 'n3' && verb === 'snapshot' && isLast && lost++ === 0;
    };
    await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).includes('n3'));
    expect(lost).toBe(2);
    expect(chunksTo(cluster, 'n3').filter((chunk) => chunk === 0)).toHaveLength(1);
  });
});
