import { readFileSync } from 'node:fs';
import * as detectFailures from '../functions/detect-failures.ts';
import * as operationStep from '../functions/operation-step.ts';
import * as reconcile from '../functions/reconcile.ts';
import type {
  Clock,
  Deps,
  Logger,
  MetadataStore,
  NodeClient,
  Random,
  RootSigner,
  Settings,
  Timers,
} from '../shared/ports.ts';
import { composeDeps } from '../shared/runtime/deps.ts';
import { fixedRuntime } from '../shared/runtime/runtime.ts';
import { continueOpen } from '../shared/usecases/operation-runs.ts';
import { SYSTEM } from '../shared/usecases/principal.ts';
import { stateMachines } from '../state-machines/registry.ts';
import { createAslRunner } from './asl-runner.ts';
import type { AslRunner } from './asl-runner.ts';
import { createGateway } from './gateway.ts';
import type { Gateway } from './gateway.ts';

/**
 * The control plane in one process, without sockets or schedules: the Lambda handlers and the ASL files over the given
 * parts. The runner puts a server and schedules around it; tests, benchmarks and the simulation drive it themselves.
 */
export interface ControlPlaneParts {
  readonly store: MetadataStore;
  readonly nodes: NodeClient;
  readonly root: RootSigner;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly settings: Settings;
}

export interface ControlPlane extends Gateway {
  readonly deps: Deps;
  readonly operations: AslRunner;
  /** The detect-failures handler: one loop, until its planned end or `signal`. */
  runDetectorLoop(signal?: AbortSignal): Promise<void>;
  /** The reconcile handler: one tick. */
  reconcile(): Promise<void>;
  /** Starts the next executions of operations that an earlier process left unfinished; returns how many. */
  resumeOperations(): Promise<number>;
  /** A token for the administrator `name`. */
  issueAdminToken(name: string, lifetimeMs: number): Promise<string>;
}

/** ASL of every operation type, parsed; shared by every control plane of the process. */
let definitions: ReadonlyMap<string, unknown> | undefined;

export function loadDefinitions(): ReadonlyMap<string, unknown> {
  definitions ??= new Map(
    stateMachines.map(({ type, folder }) => {
      const file = new URL(`../state-machines/${folder}/${folder}.asl.json`, import.meta.url);
      return [type, JSON.parse(readFileSync(file, 'utf8')) as unknown];
    }),
  );
  return definitions;
}

export function createControlPlane(parts: ControlPlaneParts): ControlPlane {
  const { random, log } = parts;
  const operations = createAslRunner({
    definitions: loadDefinitions(),
    step: (task) => runStep(task),
    random,
    log,
  });
  const deps = composeDeps({ ...parts, operations });
  const source = fixedRuntime({ deps, answers: 'checked' });
  const runStep = operationStep.create(source);
  const detect = detectFailures.create(source);
  const gateway = createGateway(source);
  return {
    deps,
    operations,
    handle: (request) => gateway.handle(request),
    runDetectorLoop: (signal) => detect({}, signal === undefined ? {} : { signal }),
    reconcile: reconcile.create(source),
    resumeOperations: () => continueOpen(deps, SYSTEM('runner'), () => true),
    issueAdminToken: (name, lifetimeMs) => deps.tokens.issue({ kind: 'admin', name }, lifetimeMs),
  };
}
