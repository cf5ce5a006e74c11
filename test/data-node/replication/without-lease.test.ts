import { ReadRounds } from '../../../data-node/replication/read-rounds.ts';
import { hastyTimers, settled } from '../../support/environment.ts';
import { SHARD_ID, threeNodes } from './cluster.ts';

/** E5: an outage of the control plane costs latency, not the database. */
describe('a leader without a lease', () => {
  it('acknowledges what every member of its ack set accepted, and reads after a round of confirmations', async () => {
    const cluster = await threeNodes();
    cluster.reportsAre = 'LOST';
    await cluster.put('n1', 'k', 1);
    cluster.loseLease('n1');
    expect((await cluster.put('n1', 'k', 2)).status).toBe(200);
    const before = cluster.traffic.length;
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ value: 2 });
    const asked = cluster.traffic.slice(before).filter(({ verb }) => verb === 'append');
    expect(new Set(asked.map(({ to }) => to))).toEqual(new Set(['n2', 'n3']));
    const scanned = await cluster.wait(cluster.ask('n1', 'scan', { start_key: null, end_key: null, limit: 10 }));
    expect(scanned.body).toMatchObject({ rows: [{ key: 'k', value: 2 }] });
  });

  it('tells of each answer a moment between the request and the answers of its followers', async () => {
    const cluster = await threeNodes();
    cluster.loseLease('n1');
    await cluster.put('n1', 'k', 1);
    await cluster.get('n1', 'k');
    const [write, read] = cluster.served.slice(-2);
    for (const event of [write, read]) {
      expect(event!.toMs).toBeGreaterThanOrEqual(event!.fromMs);
      expect(event!.toMs).toBeLessThan(cluster.time.nowMs());
    }
  });

  it('answers neither reads nor writes when one member of the set is away, and proposes nothing (R1)', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    cluster.loseLease('n1');
    cluster.kill('n3');
    await cluster.run(3_000);
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ code: 'NO_LEASE' });
    expect((await cluster.put('n1', 'k', 2)).body).toMatchObject({ code: 'NO_LEASE' });
    expect(cluster.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2', 'n3']);
    // The lease comes back: now it may do without the dead one.
    cluster.renewLease('n1');
    await cluster.until('n3 is dropped', () => cluster.controlPlane.inSync(SHARD_ID).length === 2);
    cluster.loseLease('n1');
    expect((await cluster.put('n1', 'k', 3)).status).toBe(200);
    expect((await cluster.get('n1', 'k')).body).toMatchObject({ value: 3 });
  });

  it('is refused by the member that leads at a higher epoch, before anything stale is answered', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 'old');
    cluster.loseLease('n1');
    cluster.cut('n2', 'n1');
    await cluster.failOver('n2');
    expect((await cluster.put('n2', 'k', 'new')).status).toBe(200);
    // It still reaches n3, which knows better, and n2, which leads.
    const answer = await cluster.get('n1', 'k', { epoch: 1 });
    expect(answer.status).not.toBe(200);
    const late = await cluster.put('n1', 'k', 'late', { epoch: 1 });
    expect(late.status).not.toBe(200);
    expect((await cluster.get('n2', 'k')).body).toMatchObject({ value: 'new' });
  });

  it('is not confirmed by an answer to what it sent before the request came', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 'old');
    cluster.loseLease('n1');
    // Heartbeats go on being answered up to here; then everything that n1 sends is lost, and a new leader serves.
    await cluster.run(1_000);
    for (const node of ['n2', 'n3']) cluster.cut('n1', node);
    cluster.cut('n2', 'n1');
    await cluster.failOver('n2');
    expect((await cluster.put('n2', 'k', 'new')).status).toBe(200);
    expect((await cluster.get('n1', 'k', { epoch: 1 })).body).toMatchObject({ code: 'NO_LEASE' });
  });

  it('shares one round among reads that arrive while another one is on its way', async () => {
    const cluster = await threeNodes();
    await cluster.put('n1', 'k', 1);
    cluster.loseLease('n1');
    const before = cluster.traffic.length;
    const reads = Array.from({ length: 50 }, () => cluster.ask('n1', 'get', { key: 'k' }));
    const answers = await cluster.wait(Promise.all(reads));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(cluster.traffic.length - before).toBeLessThan(10);
  });
});

describe('rounds of confirmations', () => {
  const link = (confirmedRound: number, confirmedSentMs: number, required = true) => ({
    required,
    confirmedRound,
    confirmedSentMs,
  });
  const never = { after: () => ({ cancel: () => undefined }), sleep: () => new Promise<void>(() => undefined) };

  it('a round needs every required member, and no other', async () => {
    const rounds = new ReadRounds(never);
    let answer: number | null | undefined;
    void rounds.begin(1000).then((atMs) => (answer = atMs));
    rounds.confirm([link(1, 5), link(0, -Infinity)], 9);
    await settled();
    expect(answer).toBeUndefined();
    rounds.confirm([link(1, 5), link(1, 7), link(0, -Infinity, false)], 9);
    await settled();
    expect(answer).toBe(5);
  });

  it('a confirmation of the round before does not serve the next one', async () => {
    const rounds = new ReadRounds(never);
    const first = rounds.begin(1000);
    let second: number | null | undefined;
    void rounds.begin(1000).then((atMs) => (second = atMs));
    rounds.confirm([link(1, 5)], 9);
    expect(await first).toBe(5);
    expect(second).toBeUndefined();
    rounds.confirm([link(2, 8)], 9);
    await settled();
    expect(second).toBe(8);
  });

  it('ends unconfirmed after its time, or with the term', async () => {
    expect(await new ReadRounds(hastyTimers).begin(1000)).toBeNull();
    const rounds = new ReadRounds(never);
    const begun = rounds.begin(1000);
    rounds.endAll();
    expect(await begun).toBeNull();
  });
});
