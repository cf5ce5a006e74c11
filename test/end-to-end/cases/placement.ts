import assert from 'node:assert/strict';
import { placementCalls } from '../../../shared/contracts/api/placement.ts';
import { tableCalls } from '../../../shared/contracts/api/tables.ts';
import type { Case } from '../case.ts';
import { shardctl } from '../shardctl.ts';
import type { World } from '../world.ts';

const TABLE = 'vault';
const LABEL = { vault: 'yes' };

/** The first node of each zone. */
async function oneOfEachZone(world: World): Promise<readonly string[]> {
  const nodes = (await world.nodes()).toSorted((a, b) => (a.node_id < b.node_id ? -1 : 1));
  return [...new Map(nodes.toReversed().map((node) => [node.zone, node.node_id])).values()].sort();
}

const setRules = (world: World, rules: readonly object[]) =>
  world.ok(placementCalls.setPlacementConfig.response, 'PUT', '/config/placement', { rules });

export const placement: readonly Case[] = [
  {
    name: 'a table stays on the nodes that its placement rule names, and is led where the rule prefers it',
    run: async (world) => {
      const vault = await oneOfEachZone(world);
      const [preferred] = vault;
      assert.ok(preferred !== undefined);
      const rule = {
        tables: [TABLE],
        required: [{ key: 'vault', values: ['yes'] }],
        leader_preference: { nodes: [preferred] },
      };
      const early = await world.refused('PUT', '/config/placement', { rules: [rule] });
      assert.deepEqual([early.status, early.body['code']], [409, 'PLACEMENT_UNSATISFIABLE']);
      for (const node of vault)
        await world.ok(placementCalls.setNodePlacement.response, 'PUT', `/cluster/nodes/${node}/placement`, {
          labels: LABEL,
        });
      const { labels, placement_set_by: setBy } = await world.node(preferred);
      assert.deepEqual([labels, setBy], [LABEL, 'operator']);
      await setRules(world, [rule]);

      const body = { table: TABLE, pre_split: ['m'] };
      const created = await world.ok(tableCalls.createTable.response, 'POST', '/tables', body);
      await world.succeeded(created.operation_id);
      const shards = await world.shards(TABLE);
      assert.equal(shards.length, 2);
      for (const shard of shards) {
        assert.deepEqual([...shard.replicas].sort(), vault);
        assert.equal(shard.leader, preferred);
      }
      const barred = (await world.nodes()).find(({ node_id }) => !vault.includes(node_id));
      const [shard] = shards;
      assert.ok(barred !== undefined && shard !== undefined);
      const move = { target_node_id: barred.node_id };
      const refused = await world.refused('POST', `/shards/${shard.shard_id}/move`, move);
      assert.deepEqual([refused.status, refused.body['code']], [409, 'PLACEMENT_RULE']);
      assert.match(String(refused.body['detail']), /placement rule 1 \(tables vault; requires vault=yes\)/);
      const told = await shardctl(world, 'placement', 'get');
      assert.equal(told.exitCode, 0, told.stderr);
      assert.match(told.stdout, /vault=yes/);
    },
  },
  {
    name: 'rules and labels are taken back, and their table goes',
    run: async (world) => {
      assert.deepEqual(await setRules(world, []), { rules: [] });
      for (const { node_id } of await world.nodes())
        await world.ok(placementCalls.setNodePlacement.response, 'PUT', `/cluster/nodes/${node_id}/placement`, {
          labels: {},
        });
      const deleted = await world.ok(tableCalls.deleteTable.response, 'DELETE', `/tables/${TABLE}`);
      await world.succeeded(deleted.operation_id);
    },
  },
];
