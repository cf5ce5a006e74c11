import assert from 'node:assert/strict';
import { routeCalls } from '../../../shared/contracts/api/routes.ts';
import { shardCalls } from '../../../shared/contracts/api/shards.ts';
import type { Case } from '../case.ts';
import { eventually } from '../waiting.ts';
import { otherwise, TABLE } from '../world.ts';
import type { World } from '../world.ts';

const KEY = 'lisbon';
/** By the emulator's stream it takes seconds. */
const TOLD_MS_MAX = 60_000;
const PAGES_MAX = 100;

const changes = (world: World, cursor: string | null, limit = 1000) =>
  world.ok(
    routeCalls.routeChanges.response,
    'GET',
    `/routes/${TABLE}/changes?limit=${limit}${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
  );

export const routeChanges: readonly Case[] = [
  {
    name: 'the feed of routes gives all of them page by page, then the change of a leader; a cursor goes on where it was',
    run: async (world) => {
      const shards = await world.shards();
      const routes = new Map<string, number>();
      let page = await changes(world, null, 2);
      assert.equal(page.phase, 'SNAPSHOT');
      for (let pages = 0; page.phase === 'SNAPSHOT' || page.more; pages++) {
        assert.ok(pages < PAGES_MAX);
        for (const { shard_id, epoch } of page.routes) routes.set(shard_id, epoch);
        page = await changes(world, page.next_cursor, 2);
      }
      assert.deepEqual(new Map(shards.map(({ shard_id, epoch }) => [shard_id, epoch])), routes);

      const cursor = page.next_cursor;
      const before = await world.shardOf(KEY);
      const leader = otherwise(before);
      const path = `/shards/${before.shard_id}/leader`;
      await world.ok(shardCalls.setLeader.response, 'POST', path, { new_leader_node_id: leader });
      const told = async (): Promise<string | undefined> => {
        let from = cursor;
        for (let pages = 0; pages < PAGES_MAX; pages++) {
          const delta = await changes(world, from);
          assert.equal(delta.phase, 'DELTAS');
          const news = delta.routes.find(
            ({ shard_id, epoch }) => shard_id === before.shard_id && epoch === before.epoch + 1,
          );
          if (news?.leader.node_id === leader) return delta.next_cursor;
          if (!delta.more) return undefined;
          from = delta.next_cursor;
        }
        return undefined;
      };
      await eventually('the new leader is told', TOLD_MS_MAX, told);
      // The cursor from before the change still tells it: whoever lost an answer asks again.
      assert.ok((await told()) !== undefined);
    },
  },
];
