import { mayLead } from '../../../data-node/replication/leader-log.ts';
import { Cluster, SHARD_ID, threeNodes } from './cluster.ts';

const NODES = ['n1', 'n2', 'n3'];

describe('a change of leader', () => {
  it('loses no acknowledged write when the leader is killed', async () => {
    const cluster = await threeNodes();
    for (let i = 0; i < 20; i++) await cluster.put('n1', `k${i}`, i);
    const acknowledged = cluster.committedRows('n1');
    cluster.kill('n1');
    await cluster.failOver('n2');
    expect(cluster.committedRows('n2')).toEqual(acknowledged);
    expect(await cluster.get('n2', 'k19')).toMatchObject({ status: 200, body: { value: 19, epoch: 2 } });
    expect((await cluster.put('n2', 'after', true)).status).toBe(200);
    await cluster.run(500);
    expect(cluster.committedRows('n3')).toEqual({ ...acknowledged, after: true });
  });

  it('truncates an uncommitted tail of the old leader when it comes back (R5)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 'committed');
    for (const peer of ['n2', 'n3']) cluster.cut('n1', peer);
    void cluster.ask('n1', 'put', { key: 'k', value: 'tail', write_id: 'tail' });
    void cluster.ask('n1', 'put', { key: 'other', value: 'tail', write_id: 'tail-2' });
    await cluster.run(100);
    expect(cluster.log('n1')).toEqual(['1.1', '1.2', '1.3', '1.4']);
    const disk = cluster.kill('n1');
    cluster.heal();
    await cluster.failOver('n2');
    cluster.start('n1', { engine: disk });
    await cluster.until('n1 is in sync again', () => cluster.controlPlane.inSync(SHARD_ID).includes('n1'));
    expect(cluster.log('n1')).toEqual(cluster.log('n2'));
    expect(cluster.log('n1')).toEqual(['1.1', '1.2', '2.3']);
    await cluster.run(500);
    expect(cluster.committedRows('n1')).toEqual({ k: 'committed' });
    // The write ids of the tail are free again (R6): the client's repetition is a new write.
    expect((await cluster.put('n2', 'k', 'tail', { write_id: 'tail' })).body).toMatchObject({
      status: 'success',
      epoch: 2,
    });
    expect((await cluster.get('n2', 'k')).body).toMatchObject({ value: 'tail' });
  });

  it('keeps a tail that the new leader holds: it becomes committed with the no-op', async () => {
    const cluster = await threeNodes();
    cluster.cut('n1', 'n3');
    void cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'half' });
    await cluster.run(100);
    expect(cluster.log('n2')).toEqual(['1.1', '1.2']);
    expect(cluster.log('n3')).toEqual(['1.1']);
    cluster.kill('n1');
    await cluster.failOver('n2');
    for (const node of ['n2', 'n3']) expect(cluster.log(node)).toEqual(['1.1', '1.2', '2.3']);
    // The client that repeats the write gets the answer of the first attempt.
    const repeated = await cluster.put('n2', 'k', 1, { write_id: 'half' });
    expect(repeated.status).toBe(200);
    expect(cluster.log('n2')).toHaveLength(3);
  });

  it('commits on a follower only what is known to equal the leader’s log, never the rest of its tail (R5)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 'committed');
    for (const peer of ['n2', 'n3']) cluster.cut('n1', peer);
    void cluster.ask('n1', 'put', { key: 'k', value: 'tail', write_id: 'tail' });
    await cluster.run(100);
    const disk = cluster.kill('n1');
    cluster.heal();
    cluster.cut('n2', 'n1');
    await cluster.failOver('n2');
    cluster.start('n1', { engine: disk });
    expect(cluster.log('n1')).toEqual(['1.1', '1.2', '1.3']);
    // The new leader's entry 2.3 is committed, and its heartbeat says so before the entry itself arrives.
    const descriptor = cluster.controlPlane.shard(SHARD_ID);
    const { node_id, node_epoch } = descriptor.leader;
    const caller = { kind: 'node', nodeId: node_id, nodeEpoch: node_epoch } as const;
    const session = { session_id: 's-1', shard_id: SHARD_ID, epoch: 2 };
    const open = { ...session, replica_id: 'shard-1.n1', generation: 2, leader: { node_id, node_epoch }, descriptor };
    expect((await cluster.wait(cluster.host('n1').handlePeer('open', open, caller))).status).toBe(200);
    const heartbeat = { ...session, prev: { epoch: 1, seq: 2 }, entries: [], commit_seq: 3 };
    const answer = await cluster.wait(cluster.host('n1').handlePeer('append', heartbeat, caller));
    expect(answer).toEqual({ status: 200, body: { match_seq: 2 } });
    expect(cluster.replica('n1').commitSeq).toBe(2);
    expect(cluster.committedRows('n1')).toEqual({ k: 'committed' });
    // Another node that claims to lead is refused, and so is a leader of another session.
    const stranger = { ...caller, nodeId: 'n3' };
    expect(await cluster.wait(cluster.host('n1').handlePeer('open', open, stranger))).toMatchObject({ status: 403 });
    const other = { ...heartbeat, session_id: 's-2' };
    expect(await cluster.wait(cluster.host('n1').handlePeer('append', other, caller))).toMatchObject({
      status: 409,
      body: { code: 'SESSION_UNKNOWN' },
    });
  });

  it('refuses a stale leader: it finds out, stops, and hints at the new one', async () => {
    const cluster = await threeNodes();
    // n1 believes to lead (its lease seems held) and is paused while n2 takes over, which can't reach it.
    cluster.pause('n1');
    cluster.cut('n2', 'n1');
    await cluster.failOver('n2');
    expect((await cluster.put('n2', 'k', 'new')).status).toBe(200);
    cluster.resume('n1');
    const stale = cluster.ask('n1', 'put', { key: 'k', value: 'stale', write_id: 's', epoch: 1 });
    expect((await cluster.wait(stale)).body).toMatchObject({ code: 'UNKNOWN_OUTCOME' });
    expect(cluster.served.filter((event) => event.nodeId === 'n1')).toEqual([]);
    await cluster.until('n1 follows', () => cluster.replica('n1').role === 'FOLLOWER');
    cluster.heal();
    await cluster.run(3_000);
    expect(cluster.log('n1')).toEqual(cluster.log('n2'));
    expect((await cluster.get('n1', 'k', { epoch: 1 })).body).toMatchObject({
      code: 'STALE_EPOCH',
      route: { epoch: 2, leader: { node_id: 'n2' } },
    });
    expect((await cluster.get('n2', 'k')).body).toMatchObject({ value: 'new' });
  });

  it('promises an epoch durably before it answers: after a restart a lower one is still refused (I-5)', async () => {
    const cluster = await threeNodes();
    await cluster.failOver('n2');
    const disk = cluster.kill('n3');
    expect(disk.replica(SHARD_ID)?.maxEpoch).toBe(2);
    cluster.start('n3', { engine: disk });
    const late = cluster.traffic.find((message) => message.verb === 'open' && message.to === 'n3')!;
    expect(late.from).toBe('n1');
    const caller = { kind: 'node', nodeId: 'n1', nodeEpoch: 1 } as const;
    const answer = await cluster.wait(cluster.host('n3').handlePeer('open', late.body, caller));
    expect(answer).toMatchObject({ status: 409, body: { code: 'STALE_EPOCH', max_epoch: 2 } });
  });

  it('serves only after the no-op is committed, and drops a dead replica in its own epoch before (R1, R5)', async () => {
    const cluster = await threeNodes();
    cluster.kill('n3');
    cluster.controlPlane.fence('n1');
    // n3 stays listed: the election may leave it, as its node is not fenced.
    cluster.controlPlane.elect(SHARD_ID, 'n2');
    cluster.kill('n1');
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n2'));
    await cluster.run(500);
    expect(cluster.replica('n2').role).toBe('ESTABLISHING');
    expect((await cluster.get('n2', 'k')).body).toMatchObject({ code: 'NOT_LEADER' });
    // {n2, n3} is at min_in_sync: nobody can be dropped until n1 is back and has been grown (R2).
    await cluster.run(5_000);
    expect(cluster.replica('n2').role).toBe('ESTABLISHING');
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n2', 'n3']);
    cluster.start('n1');
    await cluster.apply({
      ...cluster.controlPlane.command('create_replica', SHARD_ID, 'n1'),
    });
    await cluster.until('n2 serves', () => cluster.serves('n2'));
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
    const statuses = cluster.controlPlane.reports.flatMap(({ report, result }) =>
      report.type === 'replica_status' && report.epoch === 2 && result.outcome === 'APPLIED'
        ? [`${report.replica_id} ${report.sync_status}`]
        : [],
    );
    expect(statuses).toEqual(['shard-1.n1 IN_SYNC', 'shard-1.n3 LAGGING']);
  });

  it('ignores a leadership under another node epoch (E1)', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n2');
    cluster.controlPlane.fence('n1');
    const given = cluster.controlPlane.elect(SHARD_ID, 'n2');
    const command = cluster.controlPlane.command('become_leader', SHARD_ID, 'n2', given);
    cluster.start('n2', { engine: disk });
    expect(await cluster.apply(command)).toMatchObject({ outcome: 'REFUSED', code: 'NODE_EPOCH_MISMATCH' });
    const notice = cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n2', given);
    expect(await cluster.apply(notice)).toMatchObject({ outcome: 'DONE' });
    await cluster.run(1_000);
    expect(cluster.replica('n2').role).toBe('FOLLOWER');
    expect(cluster.log('n2')).toEqual(['1.1']);
  });

  it('gives up its terms when it registers anew (E1)', async () => {
    const cluster = await threeNodes();
    const { nodeId, nodeEpoch, storeUuid } = cluster.controlPlane.register('n1', 'store-n1', 7000);
    cluster.host('n1').registered({ nodeId, nodeEpoch, storeUuid });
    expect(cluster.replica('n1').role).toBe('FOLLOWER');
    expect(await cluster.get('n1', 'k')).toMatchObject({ status: 409, body: { code: 'NOT_LEADER' } });
  });

  it('answers nothing as leader once its registration is another one, even before its terms are ended (E1)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    cluster.replaceRegistration('n1');
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ code: 'NO_LEASE' });
    expect((await cluster.put('n1', 'k', 2)).body).toMatchObject({ code: 'NO_LEASE' });
  });

  it('learns of its role from a client that carries the newer epoch, without a push', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.fence('n1');
    cluster.kill('n1');
    cluster.controlPlane.elect(SHARD_ID, 'n2');
    expect((await cluster.get('n2', 'k')).body).toMatchObject({ code: 'NOT_LEADER', retry_after_ms: 50 });
    await cluster.until('n2 serves', () => cluster.serves('n2'), 1_000);
    expect((await cluster.get('n2', 'k')).status).toBe(200);
  });

  it('learns of its role from the answer to its report of a silent leader (R3)', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.fence('n1');
    cluster.kill('n1');
    cluster.controlPlane.elect(SHARD_ID, 'n3');
    await cluster.until('n3 serves', () => cluster.serves('n3'), 4_000);
    const silent = cluster.controlPlane.reports.filter(({ report }) => report.type === 'silent_leader');
    expect(silent[0]?.report).toMatchObject({ epoch: 1, log: { last_epoch: 1, last_seq: 1, intact: true } });
  });

  it('is asked for by a copy that came back to a list without it, again and again, until it is told to go (R4)', async () => {
    const cluster = await threeNodes();
    const disk = cluster.kill('n3');
    cluster.controlPlane.change(SHARD_ID, (shard) => ({
      replicas: shard.replicas.filter((replica) => replica.node_id !== 'n3'),
    }));
    cluster.start('n3', { engine: disk });
    const asked = (): number =>
      cluster.controlPlane.reports.filter(({ from, report }) => from.nodeId === 'n3' && report.type === 'silent_leader')
        .length;
    await cluster.until('it asked twice', () => asked() > 1, 30_000);
  });

  it('is asked for by a copy whose shard nobody knows: it stays, as lost metadata is no proof that its rows are elsewhere', async () => {
    const cluster = await threeNodes();
    const [disk] = ['n3', 'n1', 'n2'].map((node) => cluster.kill(node));
    cluster.controlPlane.shards.delete(SHARD_ID);
    cluster.start('n3', { engine: disk! });
    const asked = (): boolean => cluster.controlPlane.reports.some(({ result }) => result.code === 'SHARD_NOT_FOUND');
    await cluster.until('it asked', asked, 30_000);
    await cluster.run(30_000);
    expect(cluster.holds('n3', SHARD_ID)).toBe(true);
  });

  it('comes back from a loss of power of all nodes with every acknowledged write (E4)', async () => {
    const cluster = await threeNodes();
    for (let i = 0; i < 5; i++) await cluster.put('n1', `k${i}`, i);
    const disks = NODES.map((node) => cluster.kill(node));
    NODES.forEach((node, index) => cluster.start(node, { engine: disks[index]! }));
    cluster.controlPlane.electOfTheVoid(SHARD_ID, 'n3');
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n3'));
    await cluster.until('n3 serves', () => cluster.serves('n3'));
    expect(Object.keys(cluster.committedRows('n3'))).toHaveLength(5);
    // Entries under old node epochs are proposed anew, so that they can be elected again.
    await cluster.until('all entries are current', () =>
      cluster.controlPlane.shard(SHARD_ID).replicas.every((replica) => replica.node_epoch === 2),
    );
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(NODES);
  });

  it('dedupes a write over a change of leader (R6)', async () => {
    const cluster = await threeNodes();
    const first = await cluster.put('n1', 'k', 1, { write_id: 'once' });
    await cluster.put('n1', 'k', 2);
    await cluster.failOver('n2');
    const again = await cluster.put('n2', 'k', 1, { write_id: 'once' });
    expect(again.body['timestamp']).toBe(first.body['timestamp']);
    expect((await cluster.get('n2', 'k')).body).toMatchObject({ value: 2 });
    expect((await cluster.put('n2', 'x', 1, { write_id: 'once' })).body).toMatchObject({ code: 'WRITE_ID_REUSED' });
  });

  it('gives timestamps that rise over changes of leader, even if the new clock is behind', async () => {
    const cluster = new Cluster();
    for (const node of NODES) cluster.start(node);
    await cluster.createShard(NODES);
    const stamp = (answer: { body: Record<string, unknown> }): [number, number] =>
      String(answer.body['timestamp']).split('.').map(Number) as [number, number];
    const before = stamp(await cluster.put('n1', 'a', 1));
    await cluster.failOver('n2');
    const after = stamp(await cluster.put('n2', 'b', 1));
    expect(after[0] > before[0] || (after[0] === before[0] && after[1] > before[1])).toBe(true);
  });
});

describe('a transfer of leadership (E2)', () => {
  it('settles what is in flight, persists the receipt, then answers', async () => {
    const cluster = await threeNodes();
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'in-flight' });
    await cluster.run(1);
    const intent = cluster.controlPlane.intend(SHARD_ID, 'n2');
    const ack = await cluster.apply(cluster.controlPlane.command('step_down', SHARD_ID, 'n1'));
    expect(ack).toMatchObject({ outcome: 'DONE', receipt: { epoch: 1, generation: intent.generation } });
    expect(cluster.engine('n1').replica(SHARD_ID)?.receipt).toEqual({ epoch: 1, generation: intent.generation });
    expect((await cluster.wait(pending)).status).toBe(200);
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ code: 'NOT_LEADER' });
    // The same command again finds its work done.
    const repeated = await cluster.apply(cluster.controlPlane.command('step_down', SHARD_ID, 'n1'));
    expect(repeated.receipt).toEqual(ack.receipt);
    cluster.controlPlane.transfer(SHARD_ID, 'n2', ack.receipt!);
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n2'));
    await cluster.until('n2 serves', () => cluster.serves('n2'));
    expect((await cluster.get('n2', 'k')).body).toMatchObject({ value: 1, epoch: 2 });
  });

  it('bars leading at the receipt’s epoch, also after a restart; an abort leads at the next one', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.intend(SHARD_ID, 'n2');
    const { receipt } = await cluster.apply(cluster.controlPlane.command('step_down', SHARD_ID, 'n1'));
    expect(await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n1'))).toMatchObject({
      outcome: 'REFUSED',
      code: 'NOT_ELIGIBLE',
    });
    expect(cluster.replica('n1').role).toBe('FOLLOWER');
    cluster.controlPlane.transfer(SHARD_ID, 'n1', receipt!);
    await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n1'));
    await cluster.until('n1 serves again', () => cluster.serves('n1'));
    expect((await cluster.put('n1', 'k', 1)).body).toMatchObject({ epoch: 2 });
  });

  it('gives a receipt for a term that was never taken up', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.fence('n1');
    cluster.controlPlane.elect(SHARD_ID, 'n2');
    cluster.controlPlane.intend(SHARD_ID, 'n3');
    const ack = await cluster.apply(cluster.controlPlane.command('step_down', SHARD_ID, 'n2'));
    // Applying the descriptor takes the term up on the way; either way it is over.
    expect(ack).toMatchObject({ outcome: 'DONE', receipt: { epoch: 2 } });
    await cluster.run(500);
    expect(cluster.replica('n2').role).toBe('FOLLOWER');
  });

  it('bars by the receipt alone, by the promise alone, and by an untrusted copy alone', async () => {
    const cluster = await threeNodes();
    const { meta } = cluster.replica('n2');
    const epoch = 2;
    expect(mayLead(meta, epoch)).toBe(true);
    expect(mayLead({ ...meta, receipt: { epoch: 1, generation: 9 } }, epoch)).toBe(true);
    expect(mayLead({ ...meta, receipt: { epoch, generation: 1 } }, epoch)).toBe(false);
    expect(mayLead({ ...meta, maxEpoch: 3 }, epoch)).toBe(false);
    expect(mayLead({ ...meta, intact: false }, epoch)).toBe(false);
    // Led before under this epoch: what that term required and proposed is forgotten.
    expect(mayLead({ ...meta, last: { epoch, seq: 2 } }, epoch)).toBe(false);
  });

  it('gives no receipt for a term of another registration of its node: it would bar nothing there (E1)', async () => {
    const cluster = await threeNodes();
    // Another process registered as n1 and leads at epoch 2; the one that runs here was not yet told.
    cluster.controlPlane.fence('n1');
    cluster.controlPlane.change(SHARD_ID, (shard) => ({
      epoch: 2,
      leader: { ...shard.leader, node_epoch: 2 },
      replicas: shard.replicas.map((entry) => (entry.node_id === 'n1' ? { ...entry, node_epoch: 2 } : entry)),
    }));
    cluster.controlPlane.intend(SHARD_ID, 'n2');
    const ack = await cluster.apply(cluster.controlPlane.command('step_down', SHARD_ID, 'n1'));
    expect(ack).toMatchObject({ outcome: 'REFUSED', code: 'NODE_EPOCH_MISMATCH', receipt: null });
  });

  it('refuses to step down from an older epoch than it promised', async () => {
    const cluster = await threeNodes();
    const old = cluster.controlPlane.command('step_down', SHARD_ID, 'n1');
    await cluster.failOver('n2');
    await cluster.run(500);
    expect(await cluster.apply(old)).toMatchObject({ outcome: 'REFUSED', code: 'STALE_EPOCH', receipt: null });
  });
});
