import { calls } from '../../shared/contracts/api/index.ts';
import type { BodyOf, CallInput, ParamsOf, QueryOf, ResponseOf } from '../../shared/contracts/api/call.ts';
import type { CallName, Calls } from '../../shared/contracts/api/index.ts';
import type { Fault } from '../../shared/domain/faults.ts';
import { nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import { executionName } from '../../shared/domain/operation.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { CommandAnswer, CommandDraft, Deps, Principal } from '../../shared/ports.ts';
import type { UseCase } from '../../shared/usecases/types.ts';
import { createLivenessReader } from '../../shared/store/liveness-reader.ts';
import { memoryLogger } from './environment.ts';
import { storeWorld } from './store.ts';
import type { StoreWorld, StoreWorldOptions } from './store.ts';

export const ADMIN: Principal = { kind: 'admin', name: 'test' };

/** Use cases over the embedded store. Commands to nodes are kept in `sent` and answered by `answer`. */
export interface UseCaseWorld extends StoreWorld {
  readonly deps: Deps;
  readonly sent: CommandDraft[];
  readonly started: { type: string; operationId: string }[];
  readonly tasks: { taskToken: string; outcome: 'SUCCEEDED' | 'FAILED' }[];
  readonly log: ReturnType<typeof memoryLogger>;
  /** How nodes answer commands from now on. QUEUED stands for a node that does not answer. */
  answer(by: (draft: CommandDraft) => CommandAnswer): void;
  /** Makes a call as the API would after validation; the answer must fit the contract. */
  call<N extends CallName>(
    name: N,
    useCase: UseCase<N>,
    input: Partial<{ params: ParamsOf<Calls[N]>; query: QueryOf<Calls[N]>; body: BodyOf<Calls[N]> }>,
    principal?: Principal,
  ): Promise<Result<ResponseOf<Calls[N]>, Fault>>;
  /** Registered node with its lease, as stored now. */
  liveness(node: number): Promise<LivenessRecord>;
  shard(id: string): Promise<ShardDescriptor>;
}

export const nodePrincipal = (node: number, epoch = 1, incarnation = `inc-${node}`): Principal => ({
  kind: 'node',
  nodeId: nodeId(`node-${node}`),
  nodeEpoch: nodeEpoch(epoch),
  incarnation,
  issuedAtMs: 0,
  expiresAtMs: Number.MAX_SAFE_INTEGER,
});

export interface UseCaseWorldOptions {
  readonly timers?: Deps['timers'];
  readonly clock?: Deps['clock'];
  /** Where the store keeps its items; SQLITE if left out. */
  readonly items?: StoreWorldOptions['items'];
}

export function useCaseWorld(options: UseCaseWorldOptions = {}): UseCaseWorld {
  const world = storeWorld({
    ...(options.timers === undefined ? {} : { timers: options.timers }),
    ...(options.items === undefined ? {} : { items: options.items }),
  });
  const sent: CommandDraft[] = [];
  const started: { type: string; operationId: string }[] = [];
  const tasks: { taskToken: string; outcome: 'SUCCEEDED' | 'FAILED' }[] = [];
  const log = memoryLogger();
  let answerTo: (draft: CommandDraft) => CommandAnswer = () => ({ outcome: 'DONE', receipt: null });
  const deps: Deps = {
    records: world.records,
    liveness: createLivenessReader(world.records),
    directory: world.directory,
    commands: {
      send: async (drafts) => {
        sent.push(...drafts);
        return drafts.map(answerTo);
      },
      sendForTask: async (drafts, task) => {
        sent.push(...drafts);
        if (drafts.map(answerTo).every((answer) => answer.outcome === 'DONE'))
          tasks.push({ taskToken: task.taskToken, outcome: 'SUCCEEDED' });
      },
      pending: async () => [],
      acknowledge: async () => undefined,
    },
    addresses: {
      of: async (nodes) => new Map(nodes.map(({ nodeId: id }) => [id, { nodeId: id, host: '127.0.0.1', port: 7000 }])),
    },
    operations: {
      start: async (type, operationId, run = 1) => {
        started.push({ type, operationId });
        return { executionArn: `arn:${executionName(operationId, run)}` };
      },
      isRunning: async () => true,
      succeedTask: async (taskToken) => void tasks.push({ taskToken, outcome: 'SUCCEEDED' }),
      failTask: async (taskToken) => void tasks.push({ taskToken, outcome: 'FAILED' }),
    },
    tokens: {
      issue: async (claims) => `token:${JSON.stringify(claims)}`,
      verify: async () => ({ ok: false, error: { code: 'TOKEN_INVALID', message: 'not used here' } }),
      signCommand: async () => ({ signature: 'signature', certificate: 'certificate' }),
      refreshCommand: async (command) => command,
      publicKeys: async () => ({ keys: [] }),
    },
    clock: options.clock ?? world.clock,
    timers: options.timers ?? world.timers,
    random: world.random,
    log,
    settings: { leaseProfile: 'fast', pushToNodes: true, defaultReplicationFactor: 3 },
  };
  return {
    ...world,
    deps,
    sent,
    started,
    tasks,
    log,
    answer: (by) => {
      answerTo = by;
    },
    call: async (name, useCase, input, principal = ADMIN) => {
      const full = { params: {}, query: {}, body: undefined, ...input } as CallInput<Calls[typeof name]>;
      const answer = await useCase(deps, principal, full);
      if (answer.ok) calls[name].response.parse(answer.value);
      return answer;
    },
    liveness: async (node) => {
      const id = nodeId(`node-${node}`);
      const found = (await deps.liveness.of([id])).get(id);
      if (found === undefined) throw new Error(`node-${node} never registered`);
      return found;
    },
    shard: async (id) => {
      const located = await world.directory.locate(id as ShardDescriptor['shardId']);
      if (located === null) throw new Error(`no shard ${id}`);
      return located.shard;
    },
  };
}

/** What `node-<n>` registers with: zone `z<n>`, incarnation `inc-<n>`, directory `store-<n>`. */
export const registrationOf = (node: number) => ({
  node_id: `node-${node}`,
  host: '127.0.0.1',
  port: 7000 + node,
  zone: `z${node}`,
  incarnation: `inc-${node}`,
  store_uuid: `store-${node}`,
});

/** Registers nodes as `registrationOf` has them. */
export async function registered(world: UseCaseWorld, ...nodes: number[]): Promise<void> {
  const { registerNode } = await import('../../shared/usecases/nodes.ts');
  for (const node of nodes) {
    const answer = await world.call('registerNode', registerNode, { body: registrationOf(node) });
    if (!answer.ok) throw new Error(`node-${node} was refused: ${answer.error.message}`);
  }
}
