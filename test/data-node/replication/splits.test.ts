import { SHARD_ID, threeNodes } from './cluster.ts';
import type { Answer, Cluster } from './cluster.ts';
import { applySplit, CHILD_ID, commitSplit, intendSplit, splitUntold, toChild } from './splitting.ts';

const NODES = ['n1', 'n2', 'n3'];

/** Rows a..j, written through the leader. */
async function filled(): Promise<Cluster> {
  const cluster = await threeNodes();
  for (const key of 'abcdefghij') await cluster.put('n1', key, `${key}0`);
  return cluster;
}

const rowsOf = (keys: string): Record<string, string> => Object.fromEntries([...keys].map((key) => [key, `${key}0`]));

describe('a split', () => {
  it('divides the rows on every replica without copying any, and both halves serve at once', async () => {
    const cluster = await filled();
    const halves = await splitUntold(cluster, 'f');
    const acks = await applySplit(cluster, NODES, halves);
    expect(acks.map((ack) => ack.outcome)).toEqual(['DONE', 'DONE', 'DONE']);
    expect(cluster.forks.map(({ nodeId, continued }) => [nodeId, continued])).toContainEqual(['n1', true]);
    expect(await cluster.get('n1', 'g', toChild(cluster))).toMatchObject({
      status: 200,
      body: { value: 'g0', epoch: 2 },
    });
    expect(await cluster.get('n1', 'c')).toMatchObject({ status: 200, body: { value: 'c0', epoch: 1 } });
    expect(await cluster.get('n1', 'g')).toMatchObject({ status: 409, body: { code: 'KEY_OUT_OF_RANGE' } });
    expect((await cluster.put('n1', 'h', 'h1', toChild(cluster))).status).toBe(200);
    expect((await cluster.put('n1', 'b', 'b1')).status).toBe(200);
    await cluster.run(1_000);
    for (const nodeId of NODES) {
      expect(cluster.committedRows(nodeId)).toEqual({ ...rowsOf('acde'), b: 'b1' });
      expect(cluster.committedRows(nodeId, CHILD_ID)).toEqual({ ...rowsOf('fgij'), h: 'h1' });
      expect(cluster.replica(nodeId).meta).toMatchObject({ rows: 5, bytes: 25 });
      expect(cluster.replica(nodeId, CHILD_ID).meta).toMatchObject({ rows: 5, bytes: 25 });
      expect(cluster.replica(nodeId, CHILD_ID).meta.segments).toMatchObject([
        { rowsId: cluster.replica(nodeId).meta.storageId },
      ]);
    }
    expect(cluster.traffic.filter((message) => message.verb === 'snapshot')).toEqual([]);
    expect(cluster.controlPlane.inSync(CHILD_ID)).toEqual(NODES);
  });

  it('asks the leader for the key: the middle by bytes', async () => {
    const cluster = await threeNodes();
    for (const key of 'abcdefgh') await cluster.put('n1', key, 'x'.repeat(key === 'g' ? 700 : 100));
    intendSplit(cluster, null);
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    await cluster.until('a key was chosen', () => {
      const { state } = cluster.controlPlane.shard(SHARD_ID);
      return state.kind === 'SPLITTING' && state.split_key === 'g';
    });
  });

  it.each([
    ['no row', ''],
    ['one row', 'm'],
  ])('is given up when the shard has %s', async (_what, keys) => {
    const cluster = await threeNodes();
    for (const key of keys) await cluster.put('n1', key, 1);
    intendSplit(cluster, null);
    await cluster.apply(cluster.controlPlane.command('apply_descriptor', SHARD_ID, 'n1'));
    await cluster.until('it is ACTIVE again', () => cluster.controlPlane.shard(SHARD_ID).state.kind === 'ACTIVE');
  });

  it('loses no write and serves all through it, whatever the moment of the writes', async () => {
    const cluster = await filled();
    const answers: Promise<Answer>[] = [];
    let number = 0;
    const write = (): void => {
      for (const key of ['a1', 'i1']) {
        const id = `load-${++number}`;
        const first = cluster.ask('n1', 'put', { key: `${key}-${number}`, value: number, write_id: id });
        answers.push(
          first.then(async (answer) =>
            answer.body['code'] === 'KEY_OUT_OF_RANGE'
              ? cluster.ask('n1', 'put', { key: `${key}-${number}`, value: number, write_id: id, ...toChild(cluster) })
              : answer,
          ),
        );
      }
    };
    const load = async (ms: number): Promise<void> => {
      for (let i = 0; i < ms; i++) {
        write();
        await cluster.run(1);
      }
    };
    await load(5);
    intendSplit(cluster, 'f');
    const prepared = NODES.map((nodeId) =>
      cluster.host(nodeId).apply(cluster.controlPlane.command('prepare_split', SHARD_ID, nodeId)),
    );
    await load(20);
    for (const ack of await cluster.wait(Promise.all(prepared))) expect(ack.outcome).toBe('DONE');
    const halves = commitSplit(cluster);
    const applied = NODES.map((nodeId) =>
      cluster.host(nodeId).apply({
        ...cluster.controlPlane.command('apply_split', SHARD_ID, nodeId, halves.parent),
        related: halves.child,
      }),
    );
    await load(20);
    await cluster.wait(Promise.all(applied));
    await load(5);
    const codes = (await cluster.wait(Promise.all(answers))).map((answer) => answer.status);
    expect(codes).toEqual(codes.map(() => 200));
    await cluster.run(1_000);
    const rows = (nodeId: string): number =>
      Object.keys({ ...cluster.committedRows(nodeId), ...cluster.committedRows(nodeId, CHILD_ID) }).length;
    for (const nodeId of NODES) expect(rows(nodeId)).toBe(10 + answers.length);
  });
});
