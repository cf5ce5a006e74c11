import type { CommandAck } from '../../../shared/contracts/node/commands.ts';
import { operationId } from '../../../shared/domain/ids.ts';
import type { Json } from '../../../shared/domain/records.ts';
import { heartbeat } from '../../../shared/usecases/heartbeat.ts';
import { nodePrincipal } from '../../support/use-case-world.ts';
import { checkHistory, finalItems } from '../../support/world-checks.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { moveOnlyReplica, proposeAllCopies } from '../move-scenario.ts';
import { expectThat, onlyShard, openOperations, operationsOfType, shardsOf, ticksOff } from '../scenario-kit.ts';
import type { Story } from './stories.ts';

/**
 * No push arrives: every command lies in its node's mailbox, is fetched by a heartbeat and acknowledged by the next one. A move is made that way,
 * and a command that expired before it is dropped, with the batch that waited for it.
 */

/** Longer than the story: the nodes of the world say nothing, and the beats are the story's own. */
const SILENCE_MS = 10 * 3_600_000;
/** A command lives an hour (command-dispatcher.ts). */
const EXPIRED_MS = 3_600_001;
const BEAT_MS = 1_000;
/** Above the sequences of the beats before. */
const FIRST_SEQUENCE = 100_000;

/** What an agent knows between two beats. */
interface AgentState {
  sequence: number;
  mailSeen: number;
  acks: CommandAck[];
}
/** Worlds in which the store is out for a process. */
const outages = new WeakSet<MortalWorld>();
const agents = new WeakMap<MortalWorld, Map<number, AgentState>>();

/** One beat of a node; what it brought is obeyed at once and acknowledged by the next. A beat that fails is followed by another. */
async function beat(world: MortalWorld, node: number): Promise<void> {
  const known = agents.get(world) ?? new Map<number, AgentState>();
  agents.set(world, known);
  const agent = known.get(node) ?? { sequence: FIRST_SEQUENCE, mailSeen: 0, acks: [] };
  known.set(node, agent);
  const sequence = ++agent.sequence;
  const body = {
    node_epoch: 1,
    incarnation: `inc-${node}`,
    sequence,
    attestation: sequence,
    mail_seen: agent.mailSeen,
    ...(agent.acks.length === 0 ? {} : { acks: agent.acks }),
  };
  const input = { params: { node_id: `node-${node}` }, query: {}, body };
  const answer = await world
    .invoke('api-heartbeat', (deps) => heartbeat(deps, nodePrincipal(node), input))
    .catch(() => null);
  if (answer === null || !answer.ok) return;
  agent.acks = answer.value.commands.map(
    (command) => world.copies.obey(command as unknown as Json) as unknown as CommandAck,
  );
  if (agent.acks.length === 0) agent.mailSeen = answer.value.mail;
}

async function beatAll(world: MortalWorld): Promise<void> {
  for (const node of world.nodes) await beat(world, node);
}

export const mailbox: Story = {
  name: 'mailbox',
  prepare: async (world) => {
    await ticksOff(world);
    await moveOnlyReplica.prepare?.(world);
    world.silenceNodes(SILENCE_MS);
    const shard = await onlyShard(world);
    const { nodeId, replicaId } = shard.leader;
    // A step that nobody runs any more waits for the second one.
    const [made] = await operationsOfType(world, 'create-table');
    const task = { operationId: operationId(made?.operationId ?? ''), taskToken: 'token-before' };
    await world.invoke('before', async (deps) => {
      await deps.commands.send([{ type: 'apply_descriptor', nodeId, replicaId, shard }]);
      await deps.commands.sendForTask([{ type: 'apply_descriptor', nodeId, replicaId, shard }], task);
    });
    await world.base.deps.timers.sleep(EXPIRED_MS);
  },
  act: async (world, fault) => {
    if (fault === 'outage') outages.add(world);
    // The request waits for nothing that a node does.
    await moveOnlyReplica.request(world);
    for (;;) {
      await beatAll(world);
      await proposeAllCopies(world);
      if ((await openOperations(world)) === 0) break;
      await world.base.deps.timers.sleep(BEAT_MS);
    }
    // The last beats bring and acknowledge what came last.
    for (let rounds = 0; rounds < 3; rounds++) await beatAll(world);
    return [];
  },
  moveOn: beatAll,
  judge: async (world) => {
    const shards = await shardsOf(world);
    const items = finalItems(world.base.committed).filter(({ key }) => key.table === 'operations');
    const batches = items.filter(({ key }) => key.pk.startsWith('B#'));
    const commands = items.filter(({ key }) => key.pk.startsWith('N#') && key.sk.startsWith('C#'));
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...world.copies.orphans(shards),
      ...world.copies.missing(shards),
      ...(await moveOnlyReplica.outcome(world)),
      // One whose opener could neither store its commands nor forget it has an end of its own: nothing refers to it.
      ...expectThat(
        batches.length === 0 || (outages.has(world) && batches.length === 1 && commands.length === 0),
        `${batches.length} batches wait for acknowledgements`,
      ),
    ];
  },
};
