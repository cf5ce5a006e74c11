import { stableBucket } from '../../shared/domain/liveness-bucket.ts';
import { LIVENESS_BUCKETS, StoreError } from '../../shared/ports.ts';
import { registerNode } from '../../shared/usecases/nodes.ts';
import { createLivenessReader, FULL_READ_EVERY } from '../../shared/store/liveness-reader.ts';
import type { Records } from '../../shared/ports.ts';
import { registrationOf, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

const bucketOf = (node: number): number => stableBucket(`node-${node}`, LIVENESS_BUCKETS);
/** The lowest number of a node whose bucket is, or is not, one of `buckets`. */
const nodeWith = (wanted: (bucket: number) => boolean): number => {
  for (let node = 100; ; node++) if (wanted(bucketOf(node))) return node;
};

/** Records whose first read of every partition is answered by `settle`, with what was there when it was asked. */
function lateFirstRead({ records }: UseCaseWorld): { readonly late: Records; readonly settle: () => void } {
  let settle = (): void => undefined;
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  let queries = 0;
  const late: Records = {
    ...records,
    query: async (kind, request) => {
      const isLate = queries++ < LIVENESS_BUCKETS;
      const page = await records.query(kind, request);
      if (isLate) await settled;
      return page;
    },
  };
  return { late, settle };
}

describe('a watcher of every lease asks where nodes are, and everywhere now and then', () => {
  let world: UseCaseWorld;
  beforeEach(() => {
    world = useCaseWorld();
  });
  afterEach(() => world.close());

  const register = (node: number): Promise<unknown> =>
    world.call('registerNode', registerNode, { body: registrationOf(node) });
  /** What one read saw, and how many queries it took. */
  const readBy = async (read: () => Promise<readonly { nodeId: string }[]>) => {
    let queries = 0;
    world.faults.use(({ method }) => {
      if (method === 'query') queries++;
      return null;
    });
    const seen = (await read()).map(({ nodeId }) => nodeId).toSorted();
    world.faults.none();
    return { seen, queries };
  };

  test('the first read and every fifth ask all partitions, the others those that held a node', async () => {
    await register(1);
    const held = 1;
    const read = world.deps.liveness.watch();
    const queries: number[] = [];
    for (let n = 0; n <= FULL_READ_EVERY; n++) {
      const answer = await readBy(read);
      expect(answer.seen).toEqual(['node-1']);
      queries.push(answer.queries);
    }
    const others = Array.from({ length: FULL_READ_EVERY - 1 }, () => held);
    expect(queries).toEqual([LIVENESS_BUCKETS, ...others, LIVENESS_BUCKETS]);
  });

  test('a node beside another is seen at once; the first of its partition by the next full read', async () => {
    await register(1);
    const read = world.deps.liveness.watch();
    await readBy(read);
    const beside = nodeWith((bucket) => bucket === bucketOf(1));
    await register(beside);
    expect((await readBy(read)).seen).toEqual(['node-1', `node-${beside}`]);
    const alone = nodeWith((bucket) => bucket !== bucketOf(1));
    await register(alone);
    const sightings: boolean[] = [];
    for (let n = 2; n <= FULL_READ_EVERY; n++) sightings.push((await readBy(read)).seen.includes(`node-${alone}`));
    expect(sightings).toEqual([...Array.from({ length: FULL_READ_EVERY - 2 }, () => false), true]);
    // From then on its partition is one of those that are asked.
    expect((await readBy(read)).seen).toContain(`node-${alone}`);
  });

  test('a full read that fails is made again by the next one', async () => {
    await register(1);
    const read = world.deps.liveness.watch();
    world.faults.use(({ method }) => (method === 'query' ? { refuse: 'UNAVAILABLE' } : null));
    await expect(read()).rejects.toThrow(StoreError);
    world.faults.none();
    expect((await readBy(read)).queries).toBe(LIVENESS_BUCKETS);
    expect((await readBy(read)).queries).toBe(1);
  });

  test('a full read that is answered after the next one takes no partition back', async () => {
    await register(1);
    const { late, settle } = lateFirstRead(world);
    const read = createLivenessReader(late).watch();
    const abandoned = read();
    const alone = nodeWith((bucket) => bucket !== bucketOf(1));
    await register(alone);
    // The first one is still under way: this is a full read as well.
    expect((await read()).map(({ nodeId }) => nodeId).toSorted()).toEqual(['node-1', `node-${alone}`]);
    settle();
    expect((await abandoned).map(({ nodeId }) => nodeId)).toEqual(['node-1']);
    expect((await read()).map(({ nodeId }) => nodeId).toSorted()).toEqual(['node-1', `node-${alone}`]);
  });

  test('every watcher learns for itself', async () => {
    await register(1);
    const [one, other] = [world.deps.liveness.watch(), world.deps.liveness.watch()];
    await readBy(one);
    expect((await readBy(one)).queries).toBe(1);
    expect((await readBy(other)).queries).toBe(LIVENESS_BUCKETS);
  });
});
