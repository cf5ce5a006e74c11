import { SHARD_ID, threeNodes } from './cluster.ts';
import type { Cluster } from './cluster.ts';

const statusReports = (cluster: Cluster): string[] =>
  cluster.controlPlane.reports.flatMap(({ report, result }) =>
    report.type === 'replica_status' ? [`${report.replica_id} ${report.sync_status} ${result.outcome}`] : [],
  );

describe('the ack set (R1, R2, R3)', () => {
  it('drops a silent replica after a second, in the store first', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    const startMs = cluster.time.nowMs();
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'w-stall' });
    await cluster.run(900);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2', 'n3']);
    expect((await cluster.wait(pending)).status).toBe(200);
    expect(cluster.time.nowMs() - startMs).toBeLessThan(1_500);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
    await cluster.run(10);
    expect(cluster.replica('n1').meta.descriptor.generation).toBe(2);
  });

  it('never acknowledges on a proposal that may not have been applied: only a descriptor shrinks the set (R1)', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    cluster.reportsAre = 'LOST';
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'w-stall' });
    await cluster.run(3_000);
    expect(cluster.served).toEqual([]);
    cluster.reportsAre = 'ANSWERED';
    expect((await cluster.wait(pending)).status).toBe(200);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
  });

  it('acts on a shrinkage whose answer was lost once it reads the descriptor', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    cluster.reportsAre = 'APPLIED_UNANSWERED';
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'w-stall' });
    await cluster.until('the store shrank', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    expect((await cluster.wait(pending)).status).toBe(200);
  });

  it('does not go below min_in_sync: writes wait, and end with an unknown outcome', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    const disk = cluster.kill('n2');
    const answer = await cluster.put('n1', 'k', 1);
    expect(answer).toMatchObject({ status: 503, body: { code: 'UNKNOWN_OUTCOME' } });
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ found: false });
    cluster.start('n2', { engine: disk });
    await cluster.until('the write is committed', () => cluster.replica('n1').commitSeq === 2);
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ value: 1 });
  });

  it('evaluates min_in_sync at acknowledgement (R5): a raised one refuses writes that the set can’t carry', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    cluster.controlPlane.change(SHARD_ID, () => ({ min_in_sync: 3 }));
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    expect(await cluster.put('n1', 'k', 1)).toMatchObject({ status: 503, body: { code: 'NOT_ENOUGH_REPLICAS' } });
    expect(cluster.log('n1')).toEqual(['1.1']);
  });

  it('evaluates min_in_sync at acknowledgement (R5): a write in flight waits for one that was raised meanwhile', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    cluster.cut('n1', 'n2');
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'w-1' });
    await cluster.run(50);
    cluster.controlPlane.change(SHARD_ID, () => ({ min_in_sync: 3 }));
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    cluster.heal();
    await cluster.until('n2 holds the write', () => cluster.log('n2').length === 2);
    await cluster.run(500);
    expect(cluster.served).toEqual([]);
    cluster.start('n3', { engine: disk });
    expect((await cluster.wait(pending)).status).toBe(200);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2', 'n3']);
  });

  it('requires a returning replica before it proposes it IN_SYNC (R2)', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n3');
    await cluster.put('n1', 'k', 1);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
    cluster.reportsAre = 'LOST';
    cluster.start('n3', { engine: disk });
    await cluster.until('n3 caught up', () => cluster.log('n3').length === 2);
    await cluster.run(500);
    // The proposal may have been applied for all that n1 knows: from now on a write needs n3.
    cluster.cut('n1', 'n3');
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 2, write_id: 'w-2' });
    await cluster.run(4_000);
    expect(cluster.served.filter((event) => event.kind === 'WRITE')).toHaveLength(1);
    // It settles the open outcome by making the proposal again, then shrinks in the store, then acknowledges.
    cluster.reportsAre = 'ANSWERED';
    expect((await cluster.wait(pending)).status).toBe(200);
    expect(statusReports(cluster)).toEqual([
      'shard-1.n3 LAGGING APPLIED',
      'shard-1.n3 IN_SYNC APPLIED',
      'shard-1.n3 LAGGING APPLIED',
    ]);
  });

  it('requires whatever a committed descriptor lists, however it came there (R1)', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    await cluster.put('n1', 'k', 1);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
    cluster.controlPlane.change(SHARD_ID, (shard) => ({
      replicas: shard.replicas.map((entry) => ({ ...entry, sync_status: 'IN_SYNC' as const })),
    }));
    cluster.reportsAre = 'LOST';
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 2, write_id: 'w-2' });
    await cluster.run(2_000);
    expect(cluster.served.filter((event) => event.kind === 'WRITE')).toHaveLength(1);
    cluster.reportsAre = 'ANSWERED';
    expect((await cluster.wait(pending)).status).toBe(200);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
  });

  it('proposes no replica that lacks what was written before it was required (R2)', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n3');
    await cluster.put('n1', 'k', 1);
    cluster.start('n3', { engine: disk });
    await cluster.until('n3 holds the first write', () => cluster.log('n3').length === 2);
    // The answer is still under way when the next entry joins the leader's log; it never reaches n3.
    cluster.cut('n1', 'n3');
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 2, write_id: 'w-2' });
    expect((await cluster.wait(pending)).status).toBe(200);
    await cluster.run(2_000);
    expect(statusReports(cluster)).toEqual(['shard-1.n3 LAGGING APPLIED']);
    expect(cluster.log('n3')).toHaveLength(2);
  });

  it('renews no entry of a node that started again before its copy is whole (R2)', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    const disk = cluster.kill('n2');
    void cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'w-1' });
    await cluster.run(500);
    const seen = cluster.traffic.length;
    cluster.start('n2', { engine: disk });
    await cluster.until('the session is asked for', () =>
      cluster.traffic.slice(seen).some(({ to, verb }) => to === 'n2' && verb === 'open'),
    );
    cluster.cut('n1', 'n2');
    await cluster.run(2_000);
    const entry = () => cluster.controlPlane.shard(SHARD_ID).replicas[1];
    expect(entry()).toMatchObject({ sync_status: 'IN_SYNC', node_epoch: 1 });
    cluster.heal();
    await cluster.until('the entry is current', () => entry()?.node_epoch === 2);
    expect(cluster.log('n2')).toEqual(cluster.log('n1'));
  });

  it('acknowledges nothing under a session of an earlier registration of the follower (R2)', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.fence('n2');
    cluster.replaceRegistration('n2');
    expect((await cluster.put('n1', 'k', 1)).status).toBe(200);
    await cluster.until(
      'the entry names the session that acknowledges',
      () => cluster.controlPlane.shard(SHARD_ID).replicas[1]?.node_epoch === 2,
      2_000,
    );
  });

  it('takes nothing that an earlier copy acknowledged for the content of a new one (R2)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    cluster.kill('n2');
    cluster.start('n2', { storeUuid: 'store-n2-new' });
    const seen = cluster.traffic.length;
    await cluster.apply(cluster.controlPlane.command('create_replica', SHARD_ID, 'n2'));
    await cluster.until('a session with the empty copy is asked for', () =>
      cluster.traffic.slice(seen).some(({ to, verb }) => to === 'n2' && verb === 'open'),
    );
    cluster.cut('n1', 'n2');
    await cluster.run(2_000);
    const entry = () => cluster.controlPlane.shard(SHARD_ID).replicas[1];
    expect(entry()).toMatchObject({ node_epoch: 1, store_uuid: 'store-n2' });
    cluster.heal();
    await cluster.until('the entry names the new copy', () => entry()?.store_uuid === 'store-n2-new');
    expect(cluster.log('n2')).toEqual(cluster.log('n1'));
  });

  it('never counts another directory for an electable entry, even under its node epoch (L4, R2)', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.change(SHARD_ID, (shard) => ({
      replicas: shard.replicas.map((entry) =>
        entry.node_id === 'n2' ? { ...entry, store_uuid: 'store-else' } : entry,
      ),
    }));
    cluster.kill('n1');
    cluster.controlPlane.fence('n1');
    cluster.controlPlane.elect(SHARD_ID, 'n3');
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n3'));
    await cluster.run(3_000);
    expect(cluster.replica('n3').role).toBe('ESTABLISHING');
  });

  it('settles an open outcome by another change when the repeated proposal is refused (R2)', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n3');
    await cluster.put('n1', 'k', 1);
    cluster.reportsAre = 'LOST';
    cluster.start('n3', { engine: disk });
    await cluster.until('n3 caught up', () => cluster.log('n3').length === 2);
    await cluster.run(500);
    cluster.kill('n3');
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 2, write_id: 'w-2' });
    await cluster.run(2_000);
    expect(cluster.served.filter((event) => event.kind === 'WRITE')).toHaveLength(1);
    cluster.controlPlane.refusesInSync = true;
    cluster.reportsAre = 'ANSWERED';
    expect((await cluster.wait(pending)).status).toBe(200);
    expect(statusReports(cluster)).toEqual([
      'shard-1.n3 LAGGING APPLIED',
      'shard-1.n3 IN_SYNC REFUSED',
      'shard-1.n3 OFFLINE APPLIED',
    ]);
  });

  it('lets a growing replica go at once when it was not yet proposed', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n3');
    await cluster.put('n1', 'k', 1);
    cluster.start('n3', { engine: disk });
    await cluster.until('n3 is in sync', () => cluster.controlPlane.inSync(SHARD_ID).length === 3);
    expect(cluster.controlPlane.shard(SHARD_ID).replicas.find((replica) => replica.node_id === 'n3')).toMatchObject({
      sync_status: 'IN_SYNC',
      node_epoch: 2,
    });
    expect((await cluster.put('n1', 'k', 2)).status).toBe(200);
    expect(cluster.log('n3')).toEqual(cluster.log('n1'));
  });

  it('proposes an IN_SYNC entry anew under the node epoch of a node that started again', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n2');
    cluster.start('n2', { engine: disk, port: 7001 });
    await cluster.until(
      'the entry of n2 is current',
      () => cluster.controlPlane.shard(SHARD_ID).replicas[1]?.node_epoch === 2,
      5_000,
    );
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2', 'n3']);
    expect((await cluster.put('n1', 'k', 1)).status).toBe(200);
    expect(cluster.log('n2')).toEqual(cluster.log('n1'));
  });

  it('never counts an earlier registration of a node for the one that its entry names (R2, E1)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    // n2 registered anew elsewhere, on a copy of its directory, and is IN_SYNC there; the old process was not yet told.
    cluster.controlPlane.fence('n2');
    cluster.controlPlane.change(SHARD_ID, (shard) => ({
      replicas: shard.replicas.map((entry) => (entry.node_id === 'n2' ? { ...entry, node_epoch: 2 } : entry)),
    }));
    cluster.kill('n1');
    cluster.controlPlane.fence('n1');
    cluster.controlPlane.elect(SHARD_ID, 'n3');
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n3'));
    await cluster.run(3_000);
    expect(cluster.replica('n3').role).toBe('ESTABLISHING');
    cluster.start('n2', { engine: cluster.kill('n2') });
    await cluster.until('n3 serves', () => cluster.serves('n3'));
    expect((await cluster.get('n3', 'k')).body).toMatchObject({ value: 1 });
  });

  it('shrinks nothing without a lease (E5)', async () => {
    const cluster = await threeNodes();
    cluster.loseLease('n1');
    cluster.kill('n3');
    await cluster.run(5_000);
    expect(statusReports(cluster)).toEqual([]);
  });

  it('never counts another data directory for an IN_SYNC entry, and reports the missing replica', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    cluster.kill('n2');
    cluster.start('n2', { storeUuid: 'store-n2-new' });
    // Never an empty copy for an entry that could be elected: one that is IN_SYNC under the node's present epoch.
    const listed = cluster.controlPlane.shard(SHARD_ID);
    const electable = listed.replicas.map((replica) => ({ ...replica, node_epoch: 2 }));
    const stale = { ...listed, replicas: electable };
    expect(await cluster.apply(cluster.controlPlane.command('create_replica', SHARD_ID, 'n2', stale))).toMatchObject({
      outcome: 'REFUSED',
      code: 'STORE_MISMATCH',
    });
    await cluster.until('it is out', () => !cluster.controlPlane.inSync(SHARD_ID).includes('n2'));
    expect(cluster.controlPlane.reports.map(({ report }) => report.type)).toContain('missing_replica');
    await cluster.apply(cluster.controlPlane.command('create_replica', SHARD_ID, 'n2'));
    await cluster.until('it is back', () => cluster.controlPlane.inSync(SHARD_ID).includes('n2'));
    expect(cluster.controlPlane.shard(SHARD_ID).replicas[1]).toMatchObject({ store_uuid: 'store-n2-new' });
    await cluster.run(500);
    expect(cluster.committedRows('n2')).toEqual({ k: 1 });
  });

  it('fills a wiped replica that min_in_sync keeps listed: required all along, electable only when it is full', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    cluster.kill('n3');
    await cluster.until('n3 is out', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    cluster.kill('n2');
    cluster.start('n2', { storeUuid: 'store-n2-new' });
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 2, write_id: 'w-2' });
    await cluster.run(2_000);
    expect(cluster.served.filter((event) => event.kind === 'WRITE')).toHaveLength(1);
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
    expect(() => {
      cluster.controlPlane.fence('n1');
      cluster.controlPlane.elect(SHARD_ID, 'n2');
    }).toThrow('the entry is void');
    cluster.controlPlane.node('n1').nodeEpoch--;
    await cluster.apply(cluster.controlPlane.command('create_replica', SHARD_ID, 'n2'));
    expect((await cluster.wait(pending)).status).toBe(200);
    await cluster.until(
      'the entry is current',
      () => cluster.controlPlane.shard(SHARD_ID).replicas[1]?.node_epoch === 2,
    );
    await cluster.run(500);
    expect(cluster.committedRows('n2')).toEqual({ k: 2 });
  });

  it('replaces the content of a directory that lost its identity, and never lets it lead (L4)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    const disk = cluster.kill('n2');
    cluster.start('n2', { engine: disk, storeUuid: 'store-n2-new' });
    const before = cluster.log('n2');
    await cluster.run(10);
    expect(cluster.replica('n2').meta.intact).toBe(false);
    expect(cluster.log('n2')).toEqual(before);
    const entry = (): unknown => cluster.controlPlane.shard(SHARD_ID).replicas[1];
    await cluster.until('the entry vouches for the new directory', () =>
      JSON.stringify(entry()).includes('store-n2-new'),
    );
    expect(entry()).toMatchObject({ sync_status: 'IN_SYNC', node_epoch: 2 });
    expect(cluster.replica('n2').meta).toMatchObject({ intact: true, storeUuid: 'store-n2-new' });
    expect(cluster.traffic.some((message) => message.verb === 'snapshot' && message.to === 'n2')).toBe(true);
    expect(cluster.committedRows('n2')).toEqual({ k: 1 });
  });
});
