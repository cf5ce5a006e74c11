import { createAddressBook } from '../../shared/adapters/address-book.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { registerNode } from '../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { getShard } from '../../shared/usecases/shards.ts';
import type { Deps } from '../../shared/ports.ts';
import { evenShards, tiledTable } from '../support/tiles.ts';
import { ADMIN, registered, useCaseWorld } from '../support/use-case-world.ts';

/**
 * Found by chaos on real processes: a follower that came back at another address stayed out of sync for good, since its entry keeps
 * the old node epoch until its leader reaches it, and for that node epoch the old address was in the cache.
 */
test('a leader that reads a descriptor learns where a follower registered anew, before the entry has its new node epoch', async () => {
  const world = useCaseWorld();
  const deps: Deps = { ...world.deps, addresses: createAddressBook({ records: world.records }) };
  await registered(world, 1, 2, 3);
  await world.directory.append(tiledTable, evenShards(3), { principal: 'test', action: 'SHARD_CREATED' });
  const addresses = async (): Promise<readonly string[]> => {
    const answer = await getShard(deps, ADMIN, {
      params: { shard_id: 'shard-0000000' },
      query: {},
      body: undefined,
    });
    if (!answer.ok) throw new Error(answer.error.message);
    const replicas = answer.value.descriptor.replicas;
    return replicas.map(({ node_id, node_epoch, address }) => `${node_id}@${node_epoch} ${address?.port ?? 'nowhere'}`);
  };
  const before = await addresses();
  expect(before[2]).toMatch(/^node-3@1 /);

  expect(await fenceNode(deps, SYSTEM('detector'), await world.liveness(3))).not.toBeNull();
  const body = {
    node_id: 'node-3',
    host: '127.0.0.1',
    port: 9333,
    zone: 'z3',
    incarnation: 'inc-3b',
    store_uuid: 'store-3',
  };
  expect((await world.call('registerNode', registerNode, { body })).ok).toBe(true);

  expect(await addresses()).toEqual([before[0], before[1], 'node-3@1 9333']);
  world.close();
});
