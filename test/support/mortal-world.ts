import { readFileSync } from 'node:fs';
import { createAslRunner } from '../../local/asl-runner.ts';
import type { AslRunner } from '../../local/asl-runner.ts';
import { createAddressBook } from '../../shared/adapters/address-book.ts';
import { createCommandDispatcher } from '../../shared/adapters/command-dispatcher.ts';
import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import { commandId, nodeId } from '../../shared/domain/ids.ts';
import { ok } from '../../shared/domain/result.ts';
import type { Json } from '../../shared/domain/records.ts';
import type { Deps, MetadataStore, OperationStarter } from '../../shared/ports.ts';
import { requestHash, withIdempotency } from '../../shared/runtime/idempotency.ts';
import { operationStepHandler } from '../../shared/runtime/operation-steps.ts';
import { problemAnswer, Refusal } from '../../shared/runtime/problem.ts';
import type { HttpAnswer } from '../../shared/runtime/problem.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import { createDirectory } from '../../shared/store/directory.ts';
import { createLivenessReader } from '../../shared/store/liveness-reader.ts';
import { createRecords } from '../../shared/store/records.ts';
import { heartbeat } from '../../shared/usecases/heartbeat.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import type { VirtualTime } from '../simulation/virtual-time.ts';
import type { SimulatedProcess } from '../simulation/virtual-time.ts';
import { ADMIN, nodePrincipal, useCaseWorld } from './use-case-world.ts';
import type { UseCaseWorld } from './use-case-world.ts';

/** A control plane of mortal functions: the world of crash-points.ts. */

export interface CrashPoint {
  /** Counted from 1 over all mortal processes of a run. */
  readonly call: number;
  readonly side: 'BEFORE' | 'AFTER';
}

export interface MortalWorld {
  /** The store and dependencies of a process that nobody kills, for looking. */
  readonly base: UseCaseWorld;
  readonly time: VirtualTime;
  readonly machines: AslRunner;
  readonly nodes: readonly number[];
  /** Receipts that nodes gave, for the checker of transitions (E2). */
  readonly receipts: { shard_id: string; replica_id: string; epoch: number; generation: number }[];
  /** Runs `work` as an invocation in a new process. Rejects if the process dies. */
  invoke<T>(name: string, work: (deps: Deps) => Promise<T>): Promise<T>;
  /** Sends a request under an idempotency key until it gets a final answer, as a careful client does. */
  request<I>(
    name: string,
    key: string,
    input: I,
    useCase: (deps: Deps, principal: typeof ADMIN, input: I) => Promise<{ ok: true; value: unknown } | Failed>,
  ): Promise<HttpAnswer>;
  /** Nodes read their mailboxes to the end, as at the next mail: commands of senders that died arrive late, and change nothing. */
  deliverLateMail(): Promise<void>;
  /** Waits, looking every LOOK_MS of virtual time. */
  until(holds: () => Promise<boolean>): Promise<void>;
}
type Failed = { ok: false; error: Parameters<typeof problemAnswer>[0] };

/** Milliseconds that a call to the outside takes each way. */
const CALL_MS = 1;
const LOOK_MS = 250;
/** Commands of one look into a mailbox; a scenario leaves fewer. */
const MAIL_MAX = 100;
const NODE_BEAT_MS = 1_000;
/** Above the age at which the reconciler takes up what was stored and never started. */
const RECONCILE_MS = 11_000;
/** Pause of a client before it sends its request again. */
const CLIENT_RETRY_MS = 1_000;
export const NODES = [1, 2, 3];

/** As Step Functions names the failure of an invocation whose process is gone. */
class FunctionDied extends Error {
  override readonly name = 'Lambda.Unknown';
}

/** Read once: the runner checks a definition that it has not seen before, which takes longer than a run. */
const definitions = new Map<string, unknown>(
  stateMachines.map(({ type, folder }) => {
    const file = new URL(`../../state-machines/${folder}/${folder}.asl.json`, import.meta.url);
    return [type, JSON.parse(readFileSync(file, 'utf8'))];
  }),
);

/** At which call a process dies. */
export class DeathPlan {
  readonly point: CrashPoint | null;
  armed = false;
  died: string | null = null;
  calls = 0;
  constructor(point: CrashPoint | null) {
    this.point = point;
  }
  next(): number {
    return this.armed ? ++this.calls : 0;
  }
  dies(call: number, side: CrashPoint['side'], what: string): boolean {
    if (this.died !== null || this.point === null || call !== this.point.call || side !== this.point.side) return false;
    this.died = what;
    return true;
  }
}

/** `stepsAgainAfterMs`: every step is invoked a second time that much later, beside the first or after it; null: once. */
export function mortalWorld(time: VirtualTime, plan: DeathPlan, stepsAgainAfterMs: number | null = null) {
  const main = time.processEnvironment({ name: 'immortal' });
  const base = useCaseWorld({ clock: main.clock, timers: main.timers });
  const receipts: MortalWorld['receipts'] = [];
  const deaths = new Map<SimulatedProcess, () => void>();
  let processes = 0;

  /** A call of a process to the outside: it takes effect on the way, and its answer comes back into the process. */
  const remote = <T>(process: SimulatedProcess, what: string, run: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      time.after(CALL_MS, () => {
        const call = plan.next();
        const die = (side: CrashPoint['side']): boolean => {
          if (process.state() === 'DEAD' || !plan.dies(call, side, `${process.name} ${what}`)) return false;
          process.kill();
          deaths.get(process)?.();
          return true;
        };
        if (die('BEFORE')) return;
        run().then(
          (value) => {
            if (!die('AFTER')) process.deliver(CALL_MS, () => resolve(value));
          },
          (error: unknown) => {
            const failure = error instanceof Error ? error : new Error(String(error));
            process.deliver(CALL_MS, () => reject(failure));
          },
        );
      });
    });

  const depsOf = (process: SimulatedProcess, call: typeof remote): Deps => {
    const store: MetadataStore = {
      get: (key) => call(process, 'get', () => base.store.get(key)),
      getMany: (keys) => call(process, 'getMany', () => base.store.getMany(keys)),
      getSnapshot: (keys) => call(process, 'getSnapshot', () => base.store.getSnapshot(keys)),
      query: (request) => call(process, 'query', () => base.store.query(request)),
      write: (write) => call(process, `${write.kind} ${write.key.pk}`, () => base.store.write(write)),
      transact: (writes) => call(process, `transact ${writes[0]?.key.pk ?? ''}`, () => base.store.transact(writes)),
    };
    const { clock, timers } = process;
    const { random, log, settings, tokens } = base.deps;
    const records = createRecords(store, { clock, random });
    const operations: OperationStarter = {
      start: (type, id, run) => call(process, `start ${type}`, () => machines.start(type, id, run)),
      isRunning: (type, id, run) => call(process, 'isRunning', () => machines.isRunning(type, id, run)),
      succeedTask: (token, output) => call(process, 'succeedTask', () => machines.succeedTask(token, output)),
      failTask: (token, code, why) => call(process, 'failTask', () => machines.failTask(token, code, why)),
    };
    const addresses = createAddressBook({ records });
    const nodes = {
      push: (node: { nodeId: string }, commands: readonly Json[]) =>
        call(process, `push to ${node.nodeId}`, () => Promise.resolve(ok(commands.map((one) => obey(one))))),
    };
    const commands = createCommandDispatcher({
      records,
      nodes,
      operations,
      tokens,
      addresses,
      clock,
      random,
      settings,
      log,
    });
    const directory = createDirectory({ store, records, clock, random });
    return {
      records,
      liveness: createLivenessReader(records),
      directory,
      commands,
      addresses,
      operations,
      tokens,
      clock,
      timers,
      random,
      log,
      settings,
    };
  };

  /** A node does at once what it is told. */
  const obey = (command: Json): Json => {
    const { command_id, type, shard_id, replica_id, epoch, generation } = command as unknown as NodeCommand;
    const given = { shard_id, replica_id, epoch, generation };
    // A sealed log does not grow: the same end however often it is asked for (S2).
    const sealed = { ...given, sealed: { epoch, seq: 10 * epoch } };
    const receipt = type === 'step_down' ? given : type === 'seal_merge' ? sealed : null;
    if (receipt !== null) receipts.push(receipt);
    const ack: CommandAck = { command_id, outcome: 'DONE', code: null, message: null, receipt };
    return ack;
  };

  const invoke: MortalWorld['invoke'] = (name, work) => {
    const process = time.processEnvironment({ name: `${name}-${++processes}` });
    return new Promise((resolve, reject) => {
      deaths.set(process, () => time.after(CALL_MS, () => reject(new FunctionDied(`${process.name} died`))));
      process.deliver(0, () => {
        work(depsOf(process, remote)).then(
          (value) => process.deliver(0, () => resolve(value)),
          (error: unknown) =>
            process.deliver(0, () => reject(error instanceof Error ? error : new Error(String(error)))),
        );
      });
    });
  };

  const runStep = (task: unknown) =>
    invoke('operation-step', (deps) => operationStepHandler(fixedRuntime({ deps, answers: 'checked' }))(task));
  const machines = createAslRunner({
    definitions,
    random: base.random,
    log: base.log,
    step: (task) => {
      if (stepsAgainAfterMs !== null) {
        // Whatever the second run answers, nobody hears it.
        time.after(stepsAgainAfterMs, () => void runStep(task).catch(() => undefined));
      }
      return runStep(task);
    },
  });

  const immortal = depsOf(main, (_process, _what, run) => run());
  const nodeBeat = async (node: number): Promise<void> => {
    let mailSeen = 0;
    let acks: CommandAck[] = [];
    for (let sequence = 1; ; sequence++) {
      const answer = await heartbeat(immortal, nodePrincipal(node), {
        params: { node_id: `node-${node}` },
        query: {},
        body: {
          node_epoch: 1,
          incarnation: `inc-${node}`,
          sequence,
          attestation: sequence,
          mail_seen: mailSeen,
          ...(acks.length === 0 ? {} : { acks }),
        },
      });
      if (answer.ok) {
        acks = answer.value.commands.map((command) => obey(command as unknown as Json) as unknown as CommandAck);
        // A page may leave commands behind; only an answer without any says that all mail was seen.
        if (acks.length === 0) mailSeen = answer.value.mail;
      }
      await main.timers.sleep(NODE_BEAT_MS);
    }
  };
  const fail = (error: unknown): void => time.fail(error instanceof Error ? error : new Error(String(error)));

  return {
    base,
    time,
    machines,
    nodes: NODES,
    receipts,
    invoke,
    request: async (name, key, input, useCase) => {
      for (;;) {
        const answer = await invoke(`api-${name}`, (deps) =>
          withIdempotency(
            deps,
            { scope: `test:${name}`, key, requestHash: requestHash(input) },
            'req-1',
            async (inner) => {
              const result = await useCase(inner, ADMIN, input);
              if (!result.ok) return problemAnswer(result.error, 'req-1');
              return { status: 200, headers: {}, body: result.value };
            },
          ),
        ).catch((error: unknown) => {
          if (error instanceof Refusal) return problemAnswer(error.fault, 'req-1');
          if (error instanceof FunctionDied) return null; // a 502 of the gateway
          throw error;
        });
        if (answer !== null && answer.status < 500 && answer.headers['retry-after'] === undefined) return answer;
        await main.timers.sleep(CLIENT_RETRY_MS);
      }
    },
    deliverLateMail: async () => {
      for (const node of NODES) {
        const id = nodeId(`node-${node}`);
        for (const command of await immortal.commands.pending(id, MAIL_MAX)) {
          const { command_id, ...ack } = obey(command) as unknown as CommandAck;
          await immortal.commands.acknowledge(id, { commandId: commandId(command_id), ...ack });
        }
      }
    },
    until: async (holds) => {
      while (!(await holds())) await main.timers.sleep(LOOK_MS);
    },
    startNodes: () => {
      for (const node of NODES) nodeBeat(node).catch(fail);
    },
    startReconciler: () => {
      const tick = async (): Promise<void> => {
        for (;;) {
          await main.timers.sleep(RECONCILE_MS);
          await invoke('reconcile', reconcileOnce).catch((error: unknown) => {
            if (!(error instanceof FunctionDied)) throw error;
          });
        }
      };
      tick().catch(fail);
    },
    quiet: () => main.timers.sleep(3 * NODE_BEAT_MS),
  } satisfies MortalWorld & Record<string, unknown>;
}
