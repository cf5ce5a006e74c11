import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../../../data-node/engine/engine.ts';
import { Cluster, SHARD_ID } from './cluster.ts';

/** A promise is lost with its directory (I-5): a copy that is no proof of anything asks what epoch there is before it takes part again. */
describe('a node with yesterday’s directory', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'old-directory-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('acknowledges nothing to a leader that was replaced after that day (model: BIRTH_PROMISE)', async () => {
    const cluster = new Cluster();
    const today = join(folder, 'today.sqlite');
    const yesterday = join(folder, 'yesterday.sqlite');
    cluster.start('n1');
    cluster.start('n2', { engine: openEngine({ path: today }) });
    cluster.start('n3');
    await cluster.createShard(['n1', 'n2', 'n3']);
    const inSync = (): string[] => [...cluster.controlPlane.inSync(SHARD_ID)].sort();
    await cluster.put('n1', 'k', 'old');
    cluster.kill('n2').close();
    copyFileSync(today, yesterday);
    cluster.start('n2', { engine: openEngine({ path: today }) });
    await cluster.run(3_000);
    const disk = cluster.kill('n3');
    await cluster.until('n3 is dropped', () => inSync().join() === 'n1,n2');

    // n1 is cut off; n2 leads at epoch 2, takes n3 in, and does without n1.
    for (const other of ['n2', 'n3', 'control']) {
      cluster.cut('n1', other);
      cluster.cut(other, 'n1');
    }
    cluster.loseLease('n1');
    cluster.start('n3', { engine: disk });
    await cluster.failOver('n2');
    await cluster.until('n1 is dropped', () => inSync().join() === 'n2,n3');
    expect((await cluster.put('n2', 'k', 'new')).status).toBe(200);

    // n2 comes back with its directory of the day before, and n1 reaches it.
    cluster.kill('n2').close();
    cluster.start('n2', { engine: openEngine({ path: yesterday }), storeUuid: 'store-n2-rolled-back' });
    cluster.heal();
    for (const other of ['n3', 'control']) {
      cluster.cut('n1', other);
      cluster.cut(other, 'n1');
    }
    // Time enough to open a session and to send a snapshot.
    await cluster.run(4_000);
    const late = await cluster.put('n1', 'k', 'late', { epoch: 1 });
    expect(late.status).not.toBe(200);
    expect(cluster.replica('n2').meta.maxEpoch).toBe(2);
    cluster.kill('n2').close();
  });

  it('does not forget by an old command that makes its copy anew', async () => {
    const cluster = new Cluster();
    for (const node of ['n1', 'n2', 'n3']) cluster.start(node);
    await cluster.createShard(['n1', 'n2', 'n3']);
    const old = cluster.controlPlane.command('create_replica', SHARD_ID, 'n2');
    await cluster.failOver('n3');
    cluster.kill('n2');
    cluster.start('n2', { storeUuid: 'store-n2-new' });
    await cluster.apply(old);
    expect(cluster.replica('n2').meta.maxEpoch).toBe(2);
  });
});
