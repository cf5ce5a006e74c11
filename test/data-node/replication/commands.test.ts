import { SHARD_ID, threeNodes } from './cluster.ts';

describe('commands', () => {
  it('do nothing to another replica than the one they name (R4)', async () => {
    const cluster = await threeNodes();
    const { controlPlane } = cluster;
    await cluster.put('n1', 'k', 1);
    const late = controlPlane.command('remove_replica', SHARD_ID, 'n3');
    controlPlane.change(SHARD_ID, (shard) => ({
      replicas: shard.replicas.filter((replica) => replica.node_id !== 'n3'),
    }));
    const create = (): ReturnType<typeof controlPlane.command> =>
      controlPlane.command('create_replica', SHARD_ID, 'n3');
    controlPlane.change(SHARD_ID, (shard) => ({
      replicas: [...shard.replicas, controlPlane.entry('n3', 'added-again', 'LAGGING')],
    }));
    expect(await cluster.apply(create())).toMatchObject({ outcome: 'DONE' });
    await cluster.apply(controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    await cluster.until('n3 is in sync', () => controlPlane.inSync(SHARD_ID).includes('n3'));
    expect(await cluster.apply(late)).toMatchObject({ outcome: 'DONE' });
    expect(cluster.replica('n3').meta.replicaId).toBe('added-again');
    expect(cluster.log('n3')).toEqual(cluster.log('n1'));
  });

  it('destroy the replica they name, for good', async () => {
    const cluster = await threeNodes();
    const create = cluster.controlPlane.command('create_replica', SHARD_ID, 'n3');
    const remove = cluster.controlPlane.command('remove_replica', SHARD_ID, 'n3');
    expect(await cluster.apply(remove)).toMatchObject({ outcome: 'DONE' });
    expect(cluster.holds('n3')).toBe(false);
    expect(await cluster.apply(remove)).toMatchObject({ outcome: 'DONE' });
    expect(await cluster.apply(create)).toMatchObject({ outcome: 'REFUSED', code: 'REPLICA_UNKNOWN' });
    const disk = cluster.kill('n3');
    cluster.start('n3', { engine: disk });
    expect(cluster.holds('n3')).toBe(false);
    expect(await cluster.get('n3', 'k')).toMatchObject({ status: 404, body: { code: 'SHARD_UNKNOWN' } });
  });

  it('of an older generation do not take back what a newer one lists', async () => {
    const cluster = await threeNodes();
    const old = cluster.controlPlane.command('remove_replica', SHARD_ID, 'n3');
    cluster.controlPlane.change(SHARD_ID, () => ({}));
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n3'));
    expect(await cluster.apply(old)).toMatchObject({ outcome: 'REFUSED', code: 'STALE_GENERATION' });
    expect(cluster.holds('n3')).toBe(true);
  });

  it('are idempotent: creating what exists changes nothing', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    const again = cluster.controlPlane.command('create_replica', SHARD_ID, 'n1');
    expect(await cluster.apply(again)).toMatchObject({ outcome: 'DONE' });
    expect(await cluster.apply(cluster.controlPlane.command('become_leader', SHARD_ID, 'n1'))).toMatchObject({
      outcome: 'DONE',
    });
    expect(cluster.committedRows('n1')).toEqual({ k: 1 });
  });

  it('name a leader: accepted when the epoch is durable, reported when the shard is served', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.fence('n1');
    cluster.controlPlane.elect(SHARD_ID, 'n2');
    const command = cluster.controlPlane.command('become_leader', SHARD_ID, 'n2');
    expect(await cluster.apply(command)).toMatchObject({ outcome: 'ACCEPTED' });
    expect(cluster.engine('n2').replica(SHARD_ID)?.maxEpoch).toBe(2);
    await cluster.until('it is reported', () =>
      cluster.controlPlane.reports.some(
        ({ report }) =>
          report.type === 'command_ack' && report.command_id === command.command_id && report.outcome === 'DONE',
      ),
    );
    expect(cluster.serves('n2')).toBe(true);
  });

  it('for replicas that the node does not hold are refused', async () => {
    const cluster = await threeNodes();
    const command = { ...cluster.controlPlane.command('become_leader', SHARD_ID, 'n2'), replica_id: 'other' };
    expect(await cluster.apply(command)).toMatchObject({ outcome: 'REFUSED', code: 'REPLICA_UNKNOWN' });
  });

  it('stop serving rows of a shard that is being deleted', async () => {
    const cluster = await threeNodes();
    cluster.controlPlane.change(SHARD_ID, () => ({ state: { kind: 'DELETING', operation_id: 'op-1' } }));
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    expect(await cluster.get('n1', 'k')).toMatchObject({ status: 404, body: { code: 'SHARD_UNKNOWN' } });
    expect(await cluster.apply(cluster.controlPlane.command('remove_replica', SHARD_ID, 'n1'))).toMatchObject({
      outcome: 'DONE',
    });
  });
});

describe('statistics', () => {
  it('tell roles, sizes and lag', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'key', 'value');
    await cluster.run(1_000);
    const { busiest, ...sums } = cluster.host('n1').stats();
    expect(sums).toMatchObject({ shards: 1, leaders: 1, bytes: 10 });
    expect(sums.requests_per_second).toBeGreaterThan(0);
    expect(busiest).toEqual([
      {
        shard_id: SHARD_ID,
        role: 'LEADER',
        serving: true,
        bytes: 10,
        rows: 1,
        lag_entries: 0,
        reads_per_second: 0,
        writes_per_second: expect.any(Number) as number,
        busy_ms_per_second: expect.any(Number) as number,
      },
    ]);
    expect(busiest[0]?.writes_per_second).toBeCloseTo(sums.requests_per_second);
    expect(sums.client_ms_p99).toBeGreaterThan(0);
    expect(cluster.host('n2').stats()).toMatchObject({
      leaders: 0,
      busiest: [{ role: 'FOLLOWER', serving: false, rows: 1 }],
    });
  });
});

describe('statistics of load', () => {
  it('name a key that halves the requests, and none for one hot key', async () => {
    const cluster = await threeNodes();
    for (const key of 'abcdefgh') await cluster.put('n1', key, 1);
    for (let i = 0; i < 40; i++) await cluster.get('n1', 'h');
    const split = (): unknown => cluster.host('n1').stats().busiest[0]?.load_split;
    expect(split()).toMatchObject({ key: 'h' });
    const other = await threeNodes();
    for (let i = 0; i < 40; i++) await other.get('n1', 'h');
    expect(other.host('n1').stats().busiest[0]).not.toHaveProperty('load_split');
    for (let i = 0; i < 400; i++) await cluster.get('n1', 'abcdefgh'.charAt(i % 8));
    expect(split()).toMatchObject({ left_share: expect.closeTo(0.5, 0) as number });
  });
});

describe('a clean stop', () => {
  it('answers writes in flight first, and stops every loop', async () => {
    const cluster = await threeNodes();
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 1, write_id: 'w-last' });
    await cluster.run(1);
    await cluster.wait(cluster.host('n1').close());
    expect((await cluster.wait(pending)).status).toBe(200);
    const before = cluster.traffic.length;
    await cluster.run(5_000);
    expect(cluster.traffic.slice(before).filter((message) => message.from === 'n1')).toEqual([]);
    expect(await cluster.get('n1', 'k')).toMatchObject({ body: { code: 'NOT_LEADER' } });
  });
});
