import { createAddressBook } from '../../shared/adapters/address-book.ts';
import { createCommandDispatcher } from '../../shared/adapters/command-dispatcher.ts';
import { signedCommandSchema } from '../../shared/contracts/node/commands.ts';
import type { CommandAck, SignedCommand } from '../../shared/contracts/node/commands.ts';
import { commandId, nodeId, operationId } from '../../shared/domain/ids.ts';
import type { Json } from '../../shared/domain/records.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { CommandDispatcher, CommandDraft, NodeClient, OperationStarter } from '../../shared/ports.ts';
import { memoryLogger } from './environment.ts';
import { aLease, aReplica, aShard } from './shards.ts';
import { storeWorld } from './store.ts';
import type { StoreWorld } from './store.ts';

/** The dispatcher of commands over an embedded store, nodes that behave as told, and tasks that wait. */

/** What a node of the test does with a command: an outcome, or silence. */
type Behaviour = 'DONE' | 'ACCEPTED' | 'SILENT' | { refuse: string };

export interface CommandWorld {
  readonly world: StoreWorld;
  readonly commands: CommandDispatcher;
  /** Messages that reached a node, in order. */
  readonly pushed: { node: string; commands: readonly SignedCommand[] }[];
  /** How tasks ended, in order. */
  readonly tasks: string[];
  behave(node: number, behaviour: Behaviour): void;
  failTaskCalls(count: number): void;
}

export async function commandWorld(options: { pushToNodes?: boolean; nodes?: number } = {}): Promise<CommandWorld> {
  const world = storeWorld();
  const pushed: CommandWorld['pushed'] = [];
  const tasks: string[] = [];
  const behaviours = new Map<string, Behaviour>();
  let failures = 0;
  const nodes: NodeClient = {
    push: async (node, messages) => {
      const behaviour = behaviours.get(node.nodeId) ?? 'DONE';
      if (behaviour === 'SILENT') return err({ code: 'NODE_UNREACHABLE', message: 'timed out' });
      const received = messages.map((message) => signedCommandSchema.parse(message));
      pushed.push({ node: node.nodeId, commands: received });
      return ok(received.map((command): Json => ack(command, behaviour)));
    },
  };
  const answer = (text: string): void => {
    if (failures > 0) {
      failures -= 1;
      throw new Error('Step Functions does not answer');
    }
    tasks.push(text);
  };
  const operations: OperationStarter = {
    start: async () => ({ executionArn: 'arn' }),
    isRunning: async () => true,
    succeedTask: async (token) => answer(`${token} succeeded`),
    failTask: async (token, code) => answer(`${token} failed: ${code}`),
  };
  const { records, clock, random } = world;
  const commands = createCommandDispatcher({
    records,
    nodes,
    operations,
    tokens: {
      issue: async () => 'token',
      verify: async () => err({ code: 'TOKEN_INVALID', message: 'unused' }),
      signCommand: async (command) => ({
        signature: `signed:${(command as { command_id: string }).command_id}`,
        certificate: 'certificate',
      }),
      refreshCommand: async (command) => command,
      publicKeys: async () => ({ keys: [] }),
    },
    addresses: createAddressBook({ records }),
    clock,
    random,
    settings: { pushToNodes: options.pushToNodes ?? true },
    log: memoryLogger(),
  });
  await registerNodes(world, options.nodes ?? 3);
  return {
    world,
    commands,
    pushed,
    tasks,
    behave: (node, behaviour) => void behaviours.set(`node-${node}`, behaviour),
    failTaskCalls: (count) => {
      failures = count;
    },
  };
}

/** Nodes 1 to `count`, each with its record and its lease, as registrations leave them. */
export async function registerNodes({ records }: StoreWorld, count: number): Promise<void> {
  for (let node = 1; node <= count; node++) {
    await records.commit({
      writes: [{ kind: 'put', entity: 'node', value: aNode(node), when: [{ kind: 'absent' }] }],
      audit: [{ entity: `node:node-${node}`, number: 1, action: 'TEST', principal: 'test', detail: null }],
      events: [],
    });
    await records.observe({ kind: 'put', entity: 'liveness', value: aLease(node), when: [{ kind: 'absent' }] });
  }
}

const aNode = (node: number) => ({
  nodeId: nodeId(`node-${node}`),
  host: '10.0.0.1',
  port: 7000 + node,
  zone: 'a',
  membership: 'ACTIVE' as const,
  maintenance: null,
  cordoned: false,
  publicKey: null,
  addressNodeEpoch: 1,
  version: '1',
  registeredAtMs: 0,
});

function ack(command: SignedCommand, behaviour: Exclude<Behaviour, 'SILENT'>): CommandAck {
  const refused = typeof behaviour === 'object';
  return {
    command_id: command.command_id,
    outcome: refused ? 'REFUSED' : behaviour,
    code: refused ? behaviour.refuse : null,
    message: null,
    receipt:
      command.type === 'step_down' && behaviour === 'DONE'
        ? {
            shard_id: command.shard_id,
            replica_id: command.replica_id,
            epoch: command.epoch,
            generation: command.generation,
          }
        : null,
  };
}

export const draft = (
  node: number,
  type: CommandDraft['type'] = 'apply_descriptor',
  shard = aShard(),
): CommandDraft => ({
  nodeId: nodeId(`node-${node}`),
  type,
  replicaId: aReplica(node).replicaId,
  shard,
});
export const task = { operationId: operationId('op-1'), taskToken: 'token-1' };

export const mailOf = async ({ world }: CommandWorld, node: number): Promise<number | undefined> =>
  (await world.records.get('liveness', { nodeId: nodeId(`node-${node}`) }))?.value.mail;
export const mailbox = async ({ commands }: CommandWorld, node: number): Promise<SignedCommand[]> =>
  (await commands.pending(nodeId(`node-${node}`), 100)).map((command) => signedCommandSchema.parse(command));
export const acknowledge = async (
  { commands }: CommandWorld,
  node: number,
  id: string,
  outcome: 'DONE' | 'ACCEPTED' | 'REFUSED' = 'DONE',
): Promise<void> =>
  commands.acknowledge(nodeId(`node-${node}`), {
    commandId: commandId(id),
    outcome,
    code: outcome === 'REFUSED' ? 'STORAGE' : null,
    message: null,
  });
export const leftovers = async ({ world }: CommandWorld): Promise<number> => {
  const keys = [...new Set(world.committed.flat().map(({ key }) => JSON.stringify(key)))]
    .map((text) => JSON.parse(text) as { table: 'operations'; pk: string; sk: string })
    .filter(({ table }) => table === 'operations');
  const items = await Promise.all(keys.map((key) => world.store.get(key)));
  return items.filter((item) => item !== null).length;
};
