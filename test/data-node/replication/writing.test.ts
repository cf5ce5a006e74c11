import { Cluster, SHARD_ID, threeNodes } from './cluster.ts';

const NODES = ['n1', 'n2', 'n3'];

describe('a replicated shard', () => {
  it('acknowledges a write when every replica in sync holds it, and shows it on all', async () => {
    const cluster = await threeNodes();
    const answer = await cluster.put('n1', 'FR/Paris', { population: 2_138_551 });
    expect(answer).toMatchObject({ status: 200, body: { status: 'success', epoch: 1 } });
    // Durable on all three at the moment of the acknowledgement ...
    for (const node of NODES) expect(cluster.log(node)).toEqual(['1.1', '1.2']);
    // ... and committed on the followers with the next heartbeat.
    await cluster.run(500);
    for (const node of NODES) expect(cluster.committedRows(node)).toEqual({ 'FR/Paris': { population: 2_138_551 } });
    expect(await cluster.get('n1', 'FR/Paris')).toMatchObject({
      status: 200,
      body: { found: true, value: { population: 2_138_551 }, epoch: 1 },
    });
  });

  it('reads committed state only (R5): a write that a replica in sync lacks is not seen', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'a', 1);
    cluster.cut('n1', 'n2');
    cluster.cut('n1', 'control');
    const pending = cluster.ask('n1', 'put', { key: 'a', value: 2, write_id: 'late' });
    await cluster.run(300);
    expect(cluster.log('n1')).toHaveLength(3);
    expect(cluster.log('n3')).toHaveLength(3);
    expect((await cluster.get('n1', 'a')).body).toMatchObject({ value: 1 });
    cluster.heal();
    expect((await cluster.wait(pending)).status).toBe(200);
    expect((await cluster.get('n1', 'a')).body).toMatchObject({ value: 2 });
  });

  it('scans committed state only (R5)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'a', 1);
    cluster.cut('n1', 'n3');
    const pending = cluster.ask('n1', 'put', { key: 'b', value: 2, write_id: 'w-scan' });
    await cluster.run(100);
    const scan = async () =>
      (await cluster.wait(cluster.ask('n1', 'scan', { start_key: null, end_key: null, limit: 10 }))).body['rows'];
    expect(await scan()).toMatchObject([{ key: 'a', value: 1 }]);
    expect(await scan()).toHaveLength(1);
    cluster.heal();
    expect((await cluster.wait(pending)).status).toBe(200);
    expect(await scan()).toHaveLength(2);
  });

  it('makes the rows of a batch visible together, the last change of a key winning', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'b', 'old');
    const rows = [
      { op: 'put', key: 'a', value: 1 },
      { op: 'put', key: 'a', value: 2 },
      { op: 'delete', key: 'b' },
      { op: 'put', key: 'c', value: [null, 'x'] },
    ];
    const answer = await cluster.wait(cluster.ask('n1', 'batch', { write_id: 'b-1', rows }));
    expect(answer.status).toBe(200);
    expect(cluster.committedRows('n1')).toEqual({ a: 2, c: [null, 'x'] });
    expect((await cluster.get('n1', 'b')).body).toEqual({ found: false, value: null, timestamp: null, epoch: 1 });
  });

  it('answers a repeated write id with the first answer, and refuses it for another write (R6)', async () => {
    const cluster = await threeNodes();
    const first = await cluster.put('n1', 'k', 1, { write_id: 'same' });
    await cluster.put('n1', 'k', 2);
    expect(await cluster.put('n1', 'k', 1, { write_id: 'same' })).toEqual(first);
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ value: 2 });
    expect(await cluster.put('n1', 'k', 3, { write_id: 'same' })).toMatchObject({
      status: 409,
      body: { code: 'WRITE_ID_REUSED' },
    });
  });

  it('gives one answer to a write that arrives twice at once', async () => {
    const cluster = await threeNodes();
    const write = { key: 'k', value: 1, write_id: 'twice' };
    const [one, two] = await cluster.wait(
      Promise.all([cluster.ask('n1', 'put', write), cluster.ask('n1', 'put', write)]),
    );
    expect(one).toEqual(two);
    expect(cluster.log('n1')).toEqual(['1.1', '1.2']);
  });

  it('scans by pages in byte order, skipping deleted rows', async () => {
    const cluster = await threeNodes();
    // Byte order differs from JavaScript's beyond the BMP: U+FF5E is above U+1F600 in UTF-16 units, below it in bytes.
    for (const key of ['b', '\u{1F600}', 'a', '\uFF5E', 'gone']) await cluster.put('n1', key, key);
    await cluster.wait(cluster.ask('n1', 'delete', { key: 'gone', write_id: 'd-1' }));
    const page = async (from: string | null): Promise<Record<string, unknown>> =>
      (await cluster.wait(cluster.ask('n1', 'scan', { start_key: from, end_key: null, limit: 2 }))).body;
    const first = await page(null);
    expect(first).toMatchObject({ rows: [{ key: 'a' }, { key: 'b' }] });
    const second = await page(first['next_key'] as string);
    expect(second).toMatchObject({ rows: [{ key: '\uFF5E' }, { key: '\u{1F600}' }], next_key: null });
  });

  it('keeps the order of int64 keys', async () => {
    const cluster = new Cluster();
    for (const node of NODES) cluster.start(node);
    await cluster.createShard(NODES, { keyType: 'int64' });
    for (const key of ['10', '-3', '9']) await cluster.put('n1', key, key);
    const answer = await cluster.wait(cluster.ask('n1', 'scan', { start_key: '-5', end_key: '10', limit: 10 }));
    expect(answer.body).toMatchObject({ rows: [{ key: '-3' }, { key: '9' }], next_key: null });
    expect(await cluster.put('n1', 'x', 1)).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST' } });
  });

  it('answers nothing without a lease while a member of its ack set can not be asked (R5, L3, E5)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    // One follower's answers no longer arrive; while both write, the lease ends.
    cluster.cut('n3', 'n1');
    const pending = cluster.ask('n1', 'put', { key: 'k', value: 2, write_id: 'w-x' });
    await cluster.run(1);
    cluster.loseLease('n1');
    await cluster.run(200);
    expect(cluster.log('n2')).toHaveLength(3);
    expect(cluster.served.filter((event) => event.kind === 'WRITE')).toHaveLength(1);
    expect(await cluster.get('n1', 'k')).toMatchObject({ status: 503, body: { code: 'NO_LEASE' } });
    expect(await cluster.put('n1', 'k', 3)).toMatchObject({ status: 503, body: { code: 'NO_LEASE' } });
    expect(await cluster.wait(pending)).toMatchObject({ status: 503, body: { code: 'UNKNOWN_OUTCOME' } });
    cluster.renewLease('n1');
    expect((await cluster.get('n1', 'k')).status).toBe(200);
  });

  it('answers without a lease only in the control run of the benchmark', async () => {
    const cluster = new Cluster();
    for (const node of NODES) cluster.start(node, { unsafeWithoutSelfFencing: node === 'n1' });
    await cluster.createShard(NODES);
    cluster.loseLease('n1');
    for (const node of ['n2', 'n3']) cluster.cut('n1', node);
    expect((await cluster.get('n1', 'k')).status).toBe(200);
  });

  it.each([
    ['a field too many', { key: 'k', extra: 1 }, 400, 'INVALID_REQUEST'],
    ['an empty key', { key: '' }, 400, 'INVALID_REQUEST'],
    ['a key too long', { key: 'x'.repeat(1001) }, 400, 'INVALID_REQUEST'],
    ['another table', { key: 'k', table: 'towns' }, 403, 'FORBIDDEN'],
    ['an unknown shard', { key: 'k', shard_id: 'shard-9' }, 404, 'SHARD_UNKNOWN'],
    ['an older epoch', { key: 'k', epoch: 0 }, 409, 'STALE_EPOCH'],
    ['a newer epoch', { key: 'k', epoch: 9 }, 409, 'NOT_LEADER'],
  ])('refuses a request with %s', async (_what, body, status, code) => {
    const cluster = await threeNodes();
    expect(await cluster.get('n1', 'k', body)).toMatchObject({ status, body: { code } });
  });

  it('refuses a write to a reader, and hints followers’ clients at the leader', async () => {
    const cluster = await threeNodes();
    const reader = { kind: 'client', name: 'r', tables: ['cities'], access: 'read' } as const;
    const body = { table: 'cities', shard_id: SHARD_ID, epoch: 1, key: 'k', value: 1, write_id: 'w' };
    const refused = await cluster.wait(cluster.host('n1').handleData('put', body, reader));
    expect(refused).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    expect(await cluster.get('n2', 'k')).toMatchObject({
      status: 409,
      body: { code: 'NOT_LEADER', route: { leader: { node_id: 'n1', port: 7000 } } },
    });
  });

  it('refuses values and batches that are too large, naming the field', async () => {
    const cluster = await threeNodes();
    const large = 'x'.repeat(256 * 1024);
    expect(await cluster.put('n1', 'k', large)).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('value') as string },
    });
    const rows = Array.from({ length: 20 }, (_, index) => ({ op: 'put', key: `k${index}`, value: large.slice(2) }));
    expect(await cluster.wait(cluster.ask('n1', 'batch', { write_id: 'b', rows }))).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('rows') as string },
    });
    expect(cluster.log('n1')).toEqual(['1.1']);
  });
});
