import { createAddressBook } from '../../shared/adapters/address-book.ts';
import { nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import { registerNodes } from '../support/command-world.ts';
import { storeWorld } from '../support/store.ts';

describe('the address book', () => {
  const ask = (epochs: Record<string, number>) =>
    Object.entries(epochs).map(([node, epoch]) => ({ nodeId: nodeId(node), nodeEpoch: nodeEpoch(epoch) }));

  test('reads an address once, and again only for a higher node epoch, once for each', async () => {
    const world = storeWorld();
    await registerNodes(world, 3);
    const book = createAddressBook({ records: world.records });
    const reads = async (epochs: Record<string, number>): Promise<number> =>
      (await world.faults.during(() => book.of(ask(epochs)))).length;
    expect(await reads({ 'node-1': 1, 'node-2': 1 })).toBe(1);
    expect(await reads({ 'node-1': 1, 'node-2': 1 })).toBe(0);
    // A fence raised the node epoch without a new address: read once, then never again for this one.
    expect(await reads({ 'node-1': 2 })).toBe(1);
    expect(await reads({ 'node-1': 2 })).toBe(0);
    expect(await reads({ 'node-1': 1 })).toBe(0);
    expect(await reads({ 'node-1': 3 })).toBe(1);
  });

  test('learns a new address when the node registered anew', async () => {
    const world = storeWorld();
    await registerNodes(world, 3);
    const book = createAddressBook({ records: world.records });
    await book.of(ask({ 'node-1': 1 }));
    await world.records.commit({
      writes: [
        {
          kind: 'update',
          entity: 'node',
          id: { nodeId: nodeId('node-1') },
          set: { port: 9999, addressNodeEpoch: 2 },
          when: [],
        },
      ],
      audit: [{ entity: 'node:node-1', number: 2, action: 'TEST', principal: 'test', detail: null }],
      events: [],
    });
    expect((await book.of(ask({ 'node-1': 1 }))).get('node-1')?.port).toBe(7001);
    expect((await book.of(ask({ 'node-1': 1 }), 'BYPASS')).get('node-1')?.port).toBe(9999);
    expect((await book.of(ask({ 'node-1': 1 }))).get('node-1')?.port).toBe(9999);
    expect((await book.of(ask({ 'node-1': 2 }))).get('node-1')?.port).toBe(9999);
  });

  test('reads many nodes in batches of 100, and leaves out unknown ones', async () => {
    const world = storeWorld();
    await registerNodes(world, 3);
    const book = createAddressBook({ records: world.records });
    const many = Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`node-${index + 1}`, 1]));
    const calls = await world.faults.during(async () => {
      expect([...(await book.of(ask(many))).keys()]).toEqual(['node-1', 'node-2', 'node-3']);
    });
    expect(calls).toEqual(['getMany', 'getMany']);
  });
});
