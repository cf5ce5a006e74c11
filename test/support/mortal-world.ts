import { readFileSync } from 'node:fs';
import { createAslRunner } from '../../local/asl-runner.ts';
import type { AslRunner } from '../../local/asl-runner.ts';
import type { CommandAck } from '../../shared/contracts/node/commands.ts';
import { commandId } from '../../shared/domain/ids.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Json } from '../../shared/domain/records.ts';
import { StoreError } from '../../shared/ports.ts';
import type { Deps, MetadataStore, OperationStarter } from '../../shared/ports.ts';
import { depsOver } from '../../shared/runtime/deps.ts';
import { requestHash, withIdempotency } from '../../shared/runtime/idempotency.ts';
import { operationStepHandler } from '../../shared/runtime/operation-steps.ts';
import { faultOf, problemAnswer, Refusal } from '../../shared/runtime/problem.ts';
import type { HttpAnswer } from '../../shared/runtime/problem.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import { heartbeat } from '../../shared/usecases/heartbeat.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import type { StoreCall } from '../../shared/store/faults.ts';
import type { SimulatedProcess, VirtualTime } from '../simulation/virtual-time.ts';
import { ObedientNodes } from './obedient-nodes.ts';
import type { CallFate, Judge } from './outside-calls.ts';
import { ADMIN, nodePrincipal, useCaseWorld } from './use-case-world.ts';
import type { UseCaseWorld } from './use-case-world.ts';

/** A control plane of mortal functions: the world of crash-points.ts. */

export interface MortalWorld {
  /** The store and dependencies of a process that nobody kills, for looking. */
  readonly base: UseCaseWorld;
  readonly time: VirtualTime;
  readonly machines: AslRunner;
  readonly nodes: readonly number[];
  /** What nodes were told, and what they hold. */
  readonly copies: ObedientNodes;
  /** Receipts that nodes gave, for the checker of transitions (E2). */
  readonly receipts: ObedientNodes['receipts'];
  /** Calls of mortal processes since `begin`. */
  calls(): number;
  /** From now on calls are counted and judged. */
  begin(): void;
  /** From now on, for so long, no node answers or beats; commands wait in the mailboxes. */
  silenceNodes(forMs: number): void;
  /** Runs `work` as an invocation in a new process. Rejects if the process dies. `judge` is asked about its calls before the world's own. */
  invoke<T>(name: string, work: (deps: Deps) => Promise<T>, judge?: Judge): Promise<T>;
  /** Sends a request under an idempotency key until it gets a final answer, as a careful client does. */
  request<I>(
    name: string,
    key: string,
    input: I,
    useCase: (deps: Deps, principal: typeof ADMIN, input: I) => Promise<{ ok: true; value: unknown } | Failed>,
  ): Promise<HttpAnswer>;
  /** Nodes read their mailboxes to the end, as at the next mail: commands of senders that died arrive late, and change nothing. */
  deliverLateMail(): Promise<void>;
  /** Waits some beats of the nodes: what is under way arrives. */
  quiet(): Promise<void>;
  /** Waits, looking every LOOK_MS of virtual time. */
  until(holds: () => Promise<boolean>): Promise<void>;
}
/** What a task hands to a step (functions/operation-step.ts). */
export interface StepTask {
  readonly operation_id: string;
  readonly step: string;
  readonly task_token?: string;
  readonly execution_arn: string;
}
export type StepAnswer = Awaited<ReturnType<ReturnType<typeof operationStepHandler>>>;
/** Comes before each invocation of a step; `run` invokes it, each time in a process of its own. */
export type AroundStep = (task: StepTask, run: (judge?: Judge) => Promise<StepAnswer>) => Promise<StepAnswer>;

export interface MortalOptions {
  /** What becomes of calls, once `begin` was called. */
  readonly judge?: Judge;
  readonly aroundStep?: AroundStep;
  /** Notes where calls come from, for `judge`; slow. */
  readonly traced?: boolean;
}

/** Frames of a traced call: deep enough to reach the step or the use case from the store. */
const FRAMES_MAX = 30;

/** Methods of ports that change nothing. */
const READS: ReadonlySet<string> = new Set(['get', 'getMany', 'getSnapshot', 'query', 'isRunning']);
type Call = <T>(process: SimulatedProcess, what: string, run: () => Promise<T>, store?: StoreCall) => Promise<T>;
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

/** Nothing is judged before `begin`: the scenario's set-up is undisturbed. */
export function mortalWorld(time: VirtualTime, { judge: ofWorld, aroundStep, traced = false }: MortalOptions = {}) {
  const main = time.processEnvironment({ name: 'immortal' });
  const base = useCaseWorld({ clock: main.clock, timers: main.timers, items: 'PLAIN' });
  const copies = new ObedientNodes(() => base.committed.length);
  const deaths = new Map<SimulatedProcess, () => void>();
  const judges = new Map<SimulatedProcess, Judge>();
  const effects = new Map<SimulatedProcess, number>();
  let processes = 0;
  let begun = false;
  let calls = 0;
  let silentUntilMs = 0;
  const areSilent = (): boolean => time.nowMs() < silentUntilMs;

  const fateOf = (
    process: SimulatedProcess,
    what: string,
    store: StoreCall | null,
    stack: string | null,
  ): CallFate | null => {
    const kind = READS.has(what.split(' ')[0] ?? '') ? 'READ' : 'EFFECT';
    if (kind === 'EFFECT') effects.set(process, (effects.get(process) ?? 0) + 1);
    const number = begun ? ++calls : 0;
    const call = {
      process: process.name,
      what,
      kind,
      number,
      effects: effects.get(process) ?? 0,
      store,
      stack,
    } as const;
    return judges.get(process)?.(call) ?? (begun ? (ofWorld?.(call) ?? null) : null);
  };

  /** A call of a process to the outside: it takes effect on the way, and its answer comes back into the process. */
  const remote: Call = (process, what, run, store) =>
    new Promise((resolve, reject) => {
      const stack = traced ? stackNow() : null;
      const fail = (error: unknown): void => {
        const failure = error instanceof Error ? error : new Error(String(error));
        process.deliver(CALL_MS, () => reject(failure));
      };
      const arrive = async (): Promise<void> => {
        const fate = fateOf(process, what, store ?? null, stack);
        const dies = (side: 'BEFORE' | 'AFTER'): boolean => {
          if (process.state() === 'DEAD' || fate?.dies !== side) return false;
          process.kill();
          deaths.get(process)?.();
          return true;
        };
        if (fate?.frozenUntil !== undefined) {
          process.pause();
          await fate.frozenUntil;
          process.resume();
        }
        if (dies('BEFORE')) return;
        await fate?.first?.();
        if (fate?.throws?.side === 'BEFORE') throw fate.throws.error;
        const value = await run();
        if (dies('AFTER')) return;
        await fate?.then?.();
        if (fate?.throws?.side === 'AFTER') throw fate.throws.error;
        process.deliver(CALL_MS, () => resolve(value));
      };
      time.after(CALL_MS, () => void arrive().catch(fail));
    });

  const depsOf = (process: SimulatedProcess, call: Call): Deps => {
    const { store: real } = base;
    const store: MetadataStore = {
      get: (key) => call(process, 'get', () => real.get(key), { method: 'get', keys: [key] }),
      getMany: (keys) => call(process, 'getMany', () => real.getMany(keys), { method: 'getMany', keys }),
      getSnapshot: (keys) =>
        call(process, 'getSnapshot', () => real.getSnapshot(keys), { method: 'getSnapshot', keys }),
      query: (request) => call(process, 'query', () => real.query(request), { method: 'query', request }),
      write: (write) =>
        call(process, `${write.kind} ${write.key.pk}`, () => real.write(write), { method: 'write', writes: [write] }),
      transact: (writes) =>
        call(process, `transact ${writes[0]?.key.pk ?? ''}`, () => real.transact(writes), {
          method: 'transact',
          writes,
        }),
    };
    const { clock, timers } = process;
    const { random, log, settings, tokens } = base.deps;
    const operations: OperationStarter = {
      start: (type, id, run) => call(process, `start ${type}`, () => machines.start(type, id, run)),
      isRunning: (type, id, run) => call(process, 'isRunning', () => machines.isRunning(type, id, run)),
      succeedTask: (token, output) => call(process, 'succeedTask', () => machines.succeedTask(token, output)),
      failTask: (token, code, why) => call(process, 'failTask', () => machines.failTask(token, code, why)),
    };
    const nodes = {
      push: (node: { nodeId: string }, commands: readonly Json[]) =>
        call(process, `push to ${node.nodeId}`, () =>
          Promise.resolve(
            areSilent()
              ? err({ code: 'NODE_UNREACHABLE' as const, message: 'silent' })
              : ok(commands.map((one) => copies.obey(one))),
          ),
        ),
    };
    return depsOver({ store, nodes, operations, tokens, clock, timers, random, log, settings });
  };

  const invoke: MortalWorld['invoke'] = (name, work, judge) => {
    const process = time.processEnvironment({ name: `${name}-${++processes}` });
    if (judge !== undefined) judges.set(process, judge);
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

  const runStep = (task: unknown, judge?: Judge) =>
    invoke('operation-step', (deps) => operationStepHandler(fixedRuntime({ deps, answers: 'checked' }))(task), judge);
  const machines = createAslRunner({
    definitions,
    random: base.random,
    log: base.log,
    step: (task) =>
      aroundStep === undefined ? runStep(task) : aroundStep(task as StepTask, (judge) => runStep(task, judge)),
  });

  const immortal = depsOf(main, (_process, _what, run) => run());
  const nodeBeat = async (node: number): Promise<void> => {
    let mailSeen = 0;
    let acks: CommandAck[] = [];
    for (let sequence = 1; ; sequence++) {
      // In whole beats: a silence of hours is no reason to wake up in every second of it.
      while (areSilent())
        await main.timers.sleep(Math.ceil((silentUntilMs - time.nowMs()) / NODE_BEAT_MS) * NODE_BEAT_MS);
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
        acks = answer.value.commands.map((command) => copies.obey(command as unknown as Json) as unknown as CommandAck);
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
    copies,
    receipts: copies.receipts,
    calls: () => calls,
    begin: () => {
      begun = true;
    },
    silenceNodes: (forMs) => {
      silentUntilMs = time.nowMs() + forMs;
    },
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
          if (error instanceof StoreError) return problemAnswer(faultOf(error), 'req-1');
          throw error;
        });
        const lostRace = (answer?.body as { readonly code?: unknown } | undefined)?.code === 'CONFLICT';
        if (answer !== null && answer.status < 500 && answer.headers['retry-after'] === undefined && !lostRace)
          return answer;
        await main.timers.sleep(CLIENT_RETRY_MS);
      }
    },
    deliverLateMail: async () => {
      const nodes = await base.records.query('node', { partition: {}, order: 'forward', limit: 100 });
      for (const { nodeId: id } of nodes.items.map(({ value }) => value)) {
        for (const command of await immortal.commands.pending(id, MAIL_MAX)) {
          const { command_id, ...ack } = copies.obey(command) as unknown as CommandAck;
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

function stackNow(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES_MAX;
  const { stack = '' } = new Error('here');
  Error.stackTraceLimit = limit;
  return stack;
}

/** Tells a story in the world, within `virtualMsMax` of virtual time, and closes the world. Answers what went wrong, in words. */
export async function toldToEnd(
  world: ReturnType<typeof mortalWorld>,
  story: () => Promise<void>,
  virtualMsMax: number,
): Promise<readonly string[]> {
  const problems: string[] = [];
  let over = false;
  story()
    .catch(
      (error: unknown) => void problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    )
    .finally(() => (over = true));
  try {
    if (!(await world.time.run(() => over, virtualMsMax)))
      problems.push(`no end within ${virtualMsMax / 60_000} minutes`);
  } catch (error) {
    problems.push(String(error));
  } finally {
    void world.machines.stop();
    world.base.close();
  }
  return problems;
}
