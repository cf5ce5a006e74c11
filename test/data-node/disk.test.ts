import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOptions } from '../../data-node/system/options.ts';
import { systemDisk } from '../../data-node/system/disk.ts';
import { heartbeatRequestSchema } from '../../shared/contracts/node/heartbeat.ts';
import { nodeUseSchema } from '../../shared/contracts/node/node-use.ts';
import { Cluster } from './replication/cluster.ts';

describe('what a node tells of its disk', () => {
  const folder = mkdtempSync(join(tmpdir(), 'shardkeeper-disk-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is the file system, unless the node has a share of it', () => {
    writeFileSync(join(folder, 'node.sqlite'), 'x'.repeat(5_000));
    writeFileSync(join(folder, 'node.sqlite-wal'), 'x'.repeat(700));
    expect(systemDisk(folder, 1_000_000).use()).toEqual({ capacityBytes: 1_000_000, usedBytes: 5_700 });
    const whole = systemDisk(folder, null).use();
    expect(whole?.capacityBytes).toBeGreaterThan(5_700);
    expect(whole?.usedBytes).toBeLessThanOrEqual(whole?.capacityBytes ?? 0);
    expect(systemDisk(join(folder, 'none'), null).use()).toBeNull();
    expect(systemDisk(join(folder, 'none'), 1_000_000).use()).toBeNull();
  });

  it('goes along with the statistics, in the form that placement reads', () => {
    const use = { capacityBytes: 8_000_000, usedBytes: 3_000_000 };
    let present: typeof use | null = use;
    const cluster = new Cluster();
    cluster.start('n1', { disk: { use: () => present } });
    const beat = { node_epoch: 1, incarnation: 'inc-1', sequence: 1, attestation: 1 };
    const sent = heartbeatRequestSchema.parse({ ...beat, stats: cluster.host('n1').stats() }).stats;
    expect(nodeUseSchema.parse(sent).disk).toEqual({ capacity_bytes: 8_000_000, used_bytes: 3_000_000 });
    present = null;
    expect(cluster.host('n1').stats()).not.toHaveProperty('disk');
  });

  it.each([
    ['5000000000', 5_000_000_000],
    [undefined, null],
  ])('has the capacity of the command line: %s', (text, capacity) => {
    const args = ['--node-id', 'n1', '--zone', 'z', '--data-dir', '/d', '--control-plane', 'http://127.0.0.1:1'];
    const options = readOptions(text === undefined ? args : [...args, '--disk-capacity', text], {});
    expect(options).toMatchObject({ ok: true, value: { diskCapacityBytes: capacity } });
  });

  it.each(['0', '12', '-5000000', '1e9', 'all'])('refuses the capacity %s', (text) => {
    const args = ['--node-id', 'n1', '--zone', 'z', '--data-dir', '/d', '--control-plane', 'http://127.0.0.1:1'];
    expect(readOptions([...args, '--disk-capacity', text], {})).toMatchObject({ ok: false });
  });
});
