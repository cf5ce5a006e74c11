import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../../../data-node/engine/engine.ts';
import { Cluster, SHARD_ID } from './cluster.ts';

describe('nodes over files', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nodes-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const open = (node: string, pageCountMax?: number): ReturnType<typeof openEngine> =>
    openEngine({ path: join(folder, `${node}.sqlite`), ...(pageCountMax === undefined ? {} : { pageCountMax }) });

  const NODES = ['n1', 'n2', 'n3'];
  async function cluster(pages: Record<string, number> = {}): Promise<Cluster> {
    const made = new Cluster();
    for (const node of NODES) made.start(node, { engine: open(node, pages[node]) });
    await made.createShard(NODES);
    return made;
  }
  const closeAll = (made: Cluster): void => {
    for (const node of NODES) made.kill(node).close();
  };

  it('have every acknowledged write after all files were closed and opened again', async () => {
    const made = await cluster();
    for (let i = 0; i < 10; i++) await made.put('n1', `k${i}`, { i });
    const before = made.committedRows('n1');
    closeAll(made);
    for (const node of NODES) made.start(node, { engine: open(node) });
    made.controlPlane.electOfTheVoid(SHARD_ID, 'n2');
    await made.apply(made.controlPlane.command('become_leader', SHARD_ID, 'n2'));
    await made.until('n2 serves', () => made.serves('n2'));
    expect(made.committedRows('n2')).toEqual(before);
    closeAll(made);
  });

  it('refuse writes on a leader’s full disk, still serve reads, and lose nothing', async () => {
    const made = await cluster({ n1: 80 });
    const acknowledged: string[] = [];
    let refused = null;
    for (let i = 0; i < 200 && refused === null; i++) {
      const answer = await made.put('n1', `k${i}`, 'x'.repeat(3_000));
      if (answer.status === 200) acknowledged.push(`k${i}`);
      else refused = answer;
    }
    expect(refused).toMatchObject({ status: 507, body: { code: 'STORAGE' } });
    expect(acknowledged.length).toBeGreaterThan(5);
    for (const key of acknowledged) expect((await made.get('n1', key)).body).toMatchObject({ found: true });
    await made.failOver('n2');
    expect(Object.keys(made.committedRows('n2')).sort()).toEqual([...acknowledged].sort());
    closeAll(made);
  });

  it('do without a follower whose disk is full, and take it back when it has space', async () => {
    const made = await cluster({ n3: 80 });
    for (let i = 0; i < 60; i++) expect((await made.put('n1', `k${i}`, 'x'.repeat(3_000))).status).toBe(200);
    expect(made.controlPlane.inSync(SHARD_ID)).toEqual(['n1', 'n2']);
    made.kill('n3').close();
    made.start('n3', { engine: open('n3') });
    await made.until('n3 is in sync', () => made.controlPlane.inSync(SHARD_ID).length === 3);
    await made.run(500);
    expect(made.committedRows('n3')).toEqual(made.committedRows('n1'));
    closeAll(made);
  });
});
