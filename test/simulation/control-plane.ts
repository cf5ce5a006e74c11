import { readFileSync } from 'node:fs';
import { createAslRunner } from '../../local/asl-runner.ts';
import type { AslRunner } from '../../local/asl-runner.ts';
import type { LeaseProfileName } from '../../shared/domain/lease.ts';
import { composeDeps } from '../../shared/runtime/deps.ts';
import { operationStepHandler } from '../../shared/runtime/operation-steps.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';
import { runDetector } from '../../shared/usecases/detect-failures.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import type { Deps, MetadataStore, OperationStarter, RootSigner } from '../../shared/ports.ts';
import { stateMachines } from '../../state-machines/registry.ts';
import { createFrontDoor } from './front-door.ts';
import type { FrontDoor, HotCalls } from './front-door.ts';
import { storeOfNextRelease } from './later-release.ts';
import type { NetworkAnswer, SimulatedNetwork } from './network.ts';
import type { Pace } from './pace.ts';
import { processStore } from './process-store.ts';
import type { StoreClimate } from './process-store.ts';
import type { SeededRandom } from './random.ts';
import type { Trace } from './trace.ts';
import { traceLogger } from './trace.ts';
import { CONTROL_PLANE, nodeClient } from './wire.ts';
import type { SimulatedProcess, VirtualTime } from './virtual-time.ts';

/** What every part of a simulated cluster stands on. */
export interface World {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly network: SimulatedNetwork;
  readonly climate: StoreClimate;
}

export interface ControlPlaneOptions {
  readonly store: MetadataStore;
  readonly root: RootSigner;
  readonly leaseProfile: LeaseProfileName;
  readonly pushToNodes: boolean;
  readonly pace: Pace;
  /** True: half of the processes are of the next release. */
  readonly mixedReleases: boolean;
  readonly hotCalls: HotCalls;
  /** Wraps the dependencies of every process; planted mistakes come in here. */
  readonly alter: (deps: Deps) => Deps;
}

/** Warm Lambda environments behind the front door. */
const ENVIRONMENTS = 3;
/**
 * A detector loop's life and the rule that starts loops, shortened from 115 s and 60 s, so that a short run sees handovers. As there, two
 * periods less a little: at the end of a loop its successor must not meet a third one, which has observed nothing yet.
 */
const DETECTOR_LOOP_MS = 24_000;
const DETECTOR_RULE_MS = 13_000;
/** Clock error of a function's process (the bound is 500 ms over a lease of 3 s, on both sides). */
const CLOCK_RATE_ERROR_MAX = 0.01;
const CLOCK_SKEW_MS_MAX = 1_500;

/** Between an invocation and its repetition, ms: short, and now and then longer than a step. */
const REPEATED_WITHIN_MS = 3_000;

/** Between a start and its repetition, ms: longer than most operations of a run. */
const STARTED_AGAIN_WITHIN_MS = 20_000;

/** How invocations arrive that no caller waits for. Probabilities are 0 to 1. */
export interface Deliveries {
  /** Rules of the schedule that fire in vain, fire twice, and how late they fire at most (ms). */
  dropProbability: number;
  repeatProbability: number;
  lateMsMax: number;
  /** Requests and steps that run a second time. */
  invokeTwiceProbability: number;
  /** Starts of executions that are made again some time later, also when the execution has ended. */
  startTwiceProbability: number;
}

export const PROMPT: Readonly<Deliveries> = {
  dropProbability: 0,
  repeatProbability: 0,
  lateMsMax: 0,
  invokeTwiceProbability: 0,
  startTwiceProbability: 0,
};

interface Environment {
  readonly process: SimulatedProcess;
  readonly source: RuntimeSource;
  readonly door: FrontDoor;
}

/** The control plane: production handlers in warm environments, state machines, schedules; each invocation's store calls take virtual time. */
export class SimulatedControlPlane {
  private readonly world: World;
  private readonly options: ControlPlaneOptions;
  private readonly random: SeededRandom;
  private readonly environments: Environment[] = [];
  private readonly detectors: { process: SimulatedProcess; startedMs: number }[] = [];
  private readonly operations: AslRunner;
  private readonly starter: OperationStarter;
  /** What EventBridge and Lambda's own retries do; changed by the faults of a run. */
  readonly deliveries: Deliveries = { ...PROMPT };
  private started = 0;

  constructor(world: World, options: ControlPlaneOptions) {
    this.world = world;
    this.options = options;
    this.random = world.random.fork('control-plane');
    this.operations = createAslRunner({
      definitions,
      step: (task) => {
        const run = (): Promise<unknown> =>
          this.inEnvironment((environment) => operationStepHandler(environment.source)(task));
        this.repeatedly(() => void run().catch(() => undefined));
        return run();
      },
      random: this.random.fork('state-machines'),
      log: traceLogger(world.trace, 'state-machines'),
    });
    this.starter = {
      ...this.operations,
      start: (type, operationId, run) => {
        const { startTwiceProbability } = this.deliveries;
        if (startTwiceProbability > 0 && this.random.chance(startTwiceProbability))
          world.time.after(this.random.between(0, STARTED_AGAIN_WITHIN_MS), () => {
            void this.operations.start(type, operationId, run);
          });
        return this.operations.start(type, operationId, run);
      },
    };
    for (let i = 0; i < ENVIRONMENTS; i++) this.environments.push(this.newEnvironment());
    // The front door itself never fails here; what lies behind it does.
    const door = world.time.processEnvironment({ name: 'front-door' });
    world.network.listen(CONTROL_PLANE.host, CONTROL_PLANE.port, {
      process: door,
      handle: (request) => {
        const run = (): Promise<NetworkAnswer> => this.inEnvironment((environment) => environment.door(request));
        this.repeatedly(() => void run().catch(() => undefined));
        return run();
      },
    });
  }

  /** Starts the schedules: detector loops that overlap, and reconcile ticks. */
  start(): void {
    const { time } = this.world;
    const detect = (): void => {
      this.fired(() => this.startDetector());
      time.after(DETECTOR_RULE_MS, detect);
    };
    const reconcile = (): void => {
      this.fired(() => {
        const { process, deps } = this.newProcess('reconcile');
        process.deliver(0, () => void reconcileOnce(deps));
      });
      time.after(this.options.pace.reconcileMs, reconcile);
    };
    detect();
    time.after(this.options.pace.reconcileMs, reconcile);
  }

  /** Dependencies in a process that nothing kills, for the operator of a run. */
  operatorDeps(): Deps {
    return this.newProcess('operator').deps;
  }

  crashDetector(): void {
    const acting = this.detectors[0];
    if (acting === undefined) return;
    this.world.trace.add('FAULTS', `${acting.process.name} dies`);
    acting.process.kill();
    this.detectors.shift();
    // A rule that fires in vain is followed by one that does not: a loop must always be on its way.
    if (this.detectors.length === 0) this.startDetector();
  }

  pauseDetector(durationMs: number): void {
    const acting = this.detectors[0];
    if (acting === undefined) return;
    acting.process.pause();
    this.world.time.after(durationMs, () => acting.process.resume());
  }

  crashFunction(): void {
    const index = this.random.below(ENVIRONMENTS);
    this.environments[index]?.process.kill();
    this.environments[index] = this.newEnvironment();
  }

  /** Freezes a warm environment; it is thawed with its caches and with what it was about to do, and serves again. */
  freezeFunction(durationMs: number): void {
    const index = this.random.below(ENVIRONMENTS);
    const frozen = this.environments[index];
    if (frozen === undefined) return;
    frozen.process.pause();
    this.environments[index] = this.newEnvironment();
    this.world.time.after(durationMs, () => {
      frozen.process.resume();
      if (frozen.process.state() === 'RUNNING') this.environments[this.random.below(ENVIRONMENTS)] = frozen;
    });
  }

  /** A rule of the schedule fires: once, late, twice or not at all. */
  private fired(run: () => void): void {
    const { dropProbability, repeatProbability, lateMsMax } = this.deliveries;
    if (dropProbability > 0 && this.random.chance(dropProbability)) return;
    const lateMs = lateMsMax === 0 ? 0 : this.random.between(0, lateMsMax);
    if (lateMs === 0) run();
    else this.world.time.after(lateMs, run);
    if (repeatProbability > 0 && this.random.chance(repeatProbability))
      this.world.time.after(lateMs + this.random.between(0, REPEATED_WITHIN_MS), run);
  }

  /** An invocation that Lambda or a client makes a second time, whose answer nobody takes. */
  private repeatedly(run: () => void): void {
    const { invokeTwiceProbability } = this.deliveries;
    if (invokeTwiceProbability > 0 && this.random.chance(invokeTwiceProbability))
      this.world.time.after(this.random.between(0, REPEATED_WITHIN_MS), run);
  }

  private startDetector(): void {
    const { process, deps } = this.newProcess('detector');
    const entry = { process, startedMs: this.world.time.nowMs() };
    this.detectors.push(entry);
    process.deliver(0, () => {
      void runDetector(deps, { runForMs: DETECTOR_LOOP_MS, holder: process.name }).then(() => {
        const index = this.detectors.indexOf(entry);
        if (index >= 0) this.detectors.splice(index, 1);
      });
    });
  }

  /** Runs `work` inside a warm environment. If it is killed meanwhile, nothing ever answers. */
  private inEnvironment<T>(work: (environment: Environment) => Promise<T>): Promise<T> {
    const environment = this.random.pick(this.environments);
    return new Promise((resolve, reject) => {
      const { process } = environment;
      process.enter(() => {
        work(environment).then(
          (value) => process.enter(() => resolve(value)),
          (error: unknown) => process.enter(() => reject(error instanceof Error ? error : new Error(String(error)))),
        );
      });
    });
  }

  private newEnvironment(): Environment {
    const { process, deps } = this.newProcess('function');
    const source = fixedRuntime({ deps, answers: 'checked' });
    return { process, source, door: createFrontDoor(source, this.options.hotCalls) };
  }

  private newProcess(kind: string): { process: SimulatedProcess; deps: Deps } {
    const { time, trace, network, climate } = this.world;
    const name = `${kind}-${++this.started}`;
    const random = this.random.fork(name);
    const process = time.processEnvironment({
      name,
      clockRate: 1 + random.between(-CLOCK_RATE_ERROR_MAX, CLOCK_RATE_ERROR_MAX),
      skewMs: random.between(-CLOCK_SKEW_MS_MAX, CLOCK_SKEW_MS_MAX),
    });
    const store = processStore(this.options.store, time, process, random.fork('store'), climate);
    const isOfNextRelease = this.options.mixedReleases && random.chance(0.5);
    const deps = composeDeps({
      store: isOfNextRelease ? storeOfNextRelease(store) : store,
      nodes: nodeClient(network, { host: CONTROL_PLANE.host, process }),
      operations: this.starter,
      root: this.options.root,
      clock: process.clock,
      timers: process.timers,
      random,
      log: traceLogger(trace, name),
      settings: {
        leaseProfile: this.options.leaseProfile,
        pushToNodes: this.options.pushToNodes,
        defaultReplicationFactor: 3,
      },
    });
    return { process, deps: this.options.alter(deps) };
  }
}

/** Read once for all runs of a process: the runner keeps what it checked by the definition's identity. */
const definitions: ReadonlyMap<string, unknown> = new Map(
  stateMachines.map(({ type, folder }) => {
    const file = new URL(`../../state-machines/${folder}/${folder}.asl.json`, import.meta.url);
    return [type, JSON.parse(readFileSync(file, 'utf8')) as unknown];
  }),
);
