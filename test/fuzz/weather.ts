import type { SeededRandom } from '../simulation/random.ts';
import type { Knowledge } from './knowledge.ts';
import type { FuzzWorld } from './world.ts';

/** What happens between requests: time passes, and now and then nodes fail, so that there is something to recover. */

/** Share of requests after which something happens to a node. */
const CHANGE_RATE = 1 / 150;
/** Nodes that live, below which new ones join. */
const LIVING_MIN = 7;
const STOPPED_MAX = 2;
const QUORUM_LOSS_RATE = 0.12;

export async function changeWeather(world: FuzzWorld, knowledge: Knowledge, random: SeededRandom): Promise<void> {
  const draw = random.next();
  if (draw < 0.002) await world.pass(random.between(2_000, 12_000));
  else if (draw < 0.03) await world.pass(random.between(100, 600));
  else if (draw < 0.3) await world.pass(random.between(1, 20));
  if (!random.chance(CHANGE_RATE)) return;
  const { puppets } = world;
  const living = puppets.living();
  if (living.length < LIVING_MIN) puppets.adopt(`node-${random.hex(3)}`);
  if (living.length === 0) return;
  const node = random.pick(living);
  if (random.chance(QUORUM_LOSS_RATE)) {
    loseQuorum(world, knowledge, random);
    return;
  }
  switch (random.below(4)) {
    case 0: {
      const stopped = [...puppets.byId.values()].filter(({ mood }) => mood === 'STOPPED').length;
      if (stopped >= STOPPED_MAX) return;
      puppets.setMood(node, 'STOPPED', random.between(5_000, 60_000));
      // Now and then it comes back with an empty directory.
      if (random.chance(0.2))
        Object.assign(node, { storeUuid: `store-${random.hex(6)}`, nodeEpoch: 0, attestation: 0 });
      // A process that starts again is another incarnation.
      node.credential = null;
      return;
    }
    case 1:
      puppets.setMood(node, 'REFUSING', random.between(2_000, 20_000));
      return;
    default:
      puppets.setMood(node, 'UNREACHABLE', random.between(2_000, 30_000));
  }
}

/** All but one of a shard's nodes stop for minutes, its leader's among them: only an operator can help (E4). */
function loseQuorum(world: FuzzWorld, knowledge: Knowledge, random: SeededRandom): void {
  const shards = [...knowledge.shards.values()].filter((shard) => shard.replica_details.length === 3);
  if (shards.length === 0) return;
  const { replica_details: replicas } = random.pick(shards);
  const survivor = random.pick(replicas.filter(({ is_leader }) => !is_leader));
  for (const { node_id } of replicas) {
    const node = world.puppets.byId.get(node_id);
    if (node === undefined || node_id === survivor.node_id) continue;
    world.puppets.setMood(node, 'STOPPED', random.between(60_000, 180_000));
    node.credential = null;
  }
}
