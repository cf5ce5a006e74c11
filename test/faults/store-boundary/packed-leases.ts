import { nodeId } from '../../../shared/domain/ids.ts';
import type { Deps, Principal } from '../../../shared/ports.ts';
import { fenceNode, markExpired } from '../../../shared/usecases/fence-node.ts';
import { heartbeat, releaseNode } from '../../../shared/usecases/heartbeat.ts';
import { heartbeats } from '../../../shared/usecases/heartbeats.ts';
import { registerNode } from '../../../shared/usecases/nodes.ts';
import { SYSTEM } from '../../../shared/usecases/principal.ts';
import { ADMIN, nodePrincipal, registrationOf } from '../../support/use-case-world.ts';
import { checkHistory } from '../../support/world-checks.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { createdTable, expectThat, onlyShard, ticksOff } from '../scenario-kit.ts';
import { untilDone } from './attempts.ts';
import type { Story } from './stories.ts';

/**
 * Leases in a pack (L1): nodes 5 and 6 beat through relay node 1, and node 6 is told of a command in its mailbox. Node 5 gives its lease up and
 * registers anew, node 6 is fenced.
 */

const RELAY = 'relay-1';
/** No push arrives meanwhile. */
const SILENCE_MS = 60_000;

const register = (world: MortalWorld, node: number, over: object): Promise<void> =>
  untilDone(world, 'api-registerNode', async (deps) => {
    const body = { ...registrationOf(node), zone: 'z1', ...over };
    return (await registerNode(deps, ADMIN, { params: {}, query: {}, body })).ok;
  });

/** Credentials of the story are the node's number. */
const byNumber = (deps: Deps): Deps => ({
  ...deps,
  tokens: {
    ...deps.tokens,
    verify: (token) =>
      Promise.resolve({ ok: true, value: nodePrincipal(Number(token)) as Extract<Principal, { kind: 'node' }> }),
  },
});

const beatOf = (node: number, sequence: number) => ({
  node_epoch: 1,
  incarnation: `inc-${node}`,
  sequence,
  attestation: sequence,
});

/** One beat of each node in one message; a repeated one has a higher sequence, as an agent's has. */
const relayed = (world: MortalWorld, nodes: readonly number[], sequence: number): Promise<void> =>
  untilDone(world, 'api-heartbeats', async (deps, attempt) => {
    const beats = nodes.map((node) => ({
      node_id: `node-${node}`,
      credential: String(node),
      lease_pack: RELAY,
      beat: beatOf(node, sequence + attempt),
    }));
    const answer = await heartbeats(byNumber(deps), nodePrincipal(1), { params: {}, query: {}, body: { beats } });
    return answer.ok && answer.value.results.every(({ outcome }) => outcome === 'RENEWED');
  });

export const packedLeases: Story = {
  name: 'packed leases',
  prepare: async (world) => {
    await ticksOff(world);
    await createdTable(world, { replication_factor: 1 });
  },
  act: async (world) => {
    await register(world, 5, { relay: RELAY });
    await register(world, 6, { relay: RELAY });
    await relayed(world, [5, 6], 100);
    world.silenceNodes(SILENCE_MS);
    const shard = await onlyShard(world);
    const draft = {
      type: 'apply_descriptor',
      nodeId: nodeId('node-6'),
      replicaId: shard.leader.replicaId,
      shard,
    } as const;
    await untilDone(world, 'send', async (deps) => (await deps.commands.send([draft]))[0]?.outcome === 'QUEUED');
    const { mail } = await world.base.liveness(6);
    await untilDone(world, 'api-heartbeat', async (deps, attempt) => {
      const body = beatOf(5, 200 + attempt);
      return (await heartbeat(deps, nodePrincipal(5), { params: { node_id: 'node-5' }, query: {}, body })).ok;
    });
    await relayed(world, [5, 6], 300);
    await untilDone(world, 'api-releaseNode', async (deps) => {
      const body = { node_epoch: 1, incarnation: 'inc-5' };
      return (await releaseNode(deps, nodePrincipal(5), { params: { node_id: 'node-5' }, query: {}, body })).ok;
    });
    await register(world, 5, { incarnation: 'inc-5b', attestation: { node_epoch: 1, counter: 500 } });
    await relayed(world, [6], 400);
    await untilDone(world, 'detect-failures', async (deps) => {
      // A detector fences who holds a lease.
      if ((await world.base.liveness(6)).incarnation === null) return true;
      await markExpired(deps, await world.base.liveness(6));
      await fenceNode(deps, SYSTEM('detector'), await world.base.liveness(6));
      return (await world.base.liveness(6)).incarnation === null;
    });
    return expectThat(mail > 0, 'node-6 is not told of its command');
  },
  moveOn: (world) => world.base.deps.timers.sleep(2_000),
  judge: async (world) => {
    const [five, six] = [await world.base.liveness(5), await world.base.liveness(6)];
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...expectThat(five.nodeEpoch === 2 && five.incarnation === 'inc-5b', `node-5 is ${JSON.stringify(five)}`),
      ...expectThat(five.pack === null && six.pack === null, 'a lease was left in the pack'),
      ...expectThat(six.nodeEpoch === 2 && six.incarnation === null, `node-6 is ${JSON.stringify(six)}`),
    ];
  },
};
