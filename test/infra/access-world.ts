import type { APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { functionAccess } from '../../infra/access.ts';
import type { FunctionName } from '../../infra/access.ts';
import { API_ENTRIES } from '../../infra/front-door.ts';
import type { ApiEntry, HOT_ENTRIES } from '../../infra/front-door.ts';
import { createAslRunner } from '../../local/asl-runner.ts';
import { loadDefinitions } from '../../local/control-plane.ts';
import { matchFrontDoor } from '../../local/gateway.ts';
import * as authorizer from '../../functions/authorizer.ts';
import * as detectFailures from '../../functions/detect-failures.ts';
import * as operationStep from '../../functions/operation-step.ts';
import * as reconcile from '../../functions/reconcile.ts';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey } from '../../shared/adapters/signing-key.ts';
import type { Deps, OperationStarter, Timers } from '../../shared/ports.ts';
import type { ApiHandler } from '../../shared/runtime/api-handler.ts';
import { composeDeps } from '../../shared/runtime/deps.ts';
import type { ApiEvent } from '../../shared/runtime/http-event.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import { SqliteStore } from '../../shared/store/sqlite-store.ts';
import { ManualClock, memoryLogger, seededRandom, settled } from '../support/environment.ts';
import { AccessRecorder } from './recorder.ts';

/**
 * A control plane as it is deployed: every function with dependencies and caches of its own, over one store, its calls
 * recorded under its name. Pauses pass at once and move the clock, and `onPause` lets nodes beat meanwhile.
 */
export interface AccessWorld {
  readonly recorder: AccessRecorder;
  readonly deps: Deps;
  readonly clock: ManualClock;
  readonly log: ReturnType<typeof memoryLogger>;
  onPause: () => Promise<void>;
  /** The next start of an operation fails, as Step Functions may. */
  failNextStart(): void;
  call(method: string, path: string, options: CallOptions): Promise<Readonly<Record<string, unknown>>>;
  /** By the Function URL of a hot entry: the function checks the token itself. */
  callHot(
    entry: (typeof HOT_ENTRIES)[number],
    method: string,
    path: string,
    token: string,
    body?: unknown,
  ): Promise<void>;
  runDetector(): Promise<void>;
  runReconcile(): Promise<void>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly token: string | null;
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, string>>;
  readonly idempotencyKey?: string;
}

export async function accessWorld(): Promise<AccessWorld> {
  const recorder = new AccessRecorder();
  const clock = new ManualClock();
  const random = seededRandom(7);
  const log = memoryLogger();
  let onPause = (): Promise<void> => Promise.resolve();
  let pausing = false;
  const timers: Timers = {
    // Only time limits of attempts are set this way; nothing here hangs.
    after: () => ({ cancel: () => undefined }),
    sleep: async (delayMs) => {
      await settled();
      // Pauses of several at once are one pause: time never passes without the nodes' beats.
      if (pausing) return;
      clock.advance(delayMs);
      pausing = true;
      await onPause().finally(() => (pausing = false));
    },
  };
  const sqlite = new SqliteStore({ path: ':memory:', random, timers });
  const store = recorder.store(sqlite);
  const runner = createAslRunner({
    definitions: loadDefinitions(),
    step: (task) => recorder.as('operation-step', () => step(task)),
    random,
    log,
  });
  let startsToFail = 0;
  const operations = recorder.operations({
    ...runner,
    start: (type, id, run) => {
      if (startsToFail === 0) return runner.start(type, id, run);
      startsToFail -= 1;
      return Promise.reject(new Error('Step Functions did not answer'));
    },
  } satisfies OperationStarter);
  const root = recorder.root(createLocalRootSigner({ privateKey: generateSigningKey() }));
  const newDeps = (): Deps =>
    composeDeps({
      store,
      nodes: recorder.nodes(),
      operations,
      root,
      clock,
      timers,
      random,
      log,
      settings: { leaseProfile: 'standard', pushToNodes: true, defaultReplicationFactor: 3 },
    });
  const sources = Object.fromEntries(
    Object.keys(functionAccess).map((name) => [name, fixedRuntime({ deps: newDeps(), answers: 'checked' })]),
  ) as Record<FunctionName, ReturnType<typeof fixedRuntime>>;
  const step = operationStep.create(sources['operation-step']);
  const authorize = authorizer.create(sources.authorizer);
  const entries = await apiEntries(sources);
  const detect = detectFailures.create(sources['detect-failures']);
  const tick = reconcile.create(sources.reconcile);
  let requests = 0;

  return {
    recorder,
    deps: newDeps(),
    clock,
    log,
    get onPause() {
      return onPause;
    },
    set onPause(work) {
      onPause = work;
    },
    failNextStart: () => void startsToFail++,
    call: async (method, path, { token, body, query = {}, idempotencyKey }) => {
      const door = matchFrontDoor(path);
      const headers = {
        ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
        ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
      };
      const context = door.authorizer === 'none' ? null : await caller(headers);
      const event = {
        httpMethod: method,
        path,
        headers,
        queryStringParameters: query,
        body: body === undefined ? null : JSON.stringify(body),
        requestContext: { requestId: `r-${requests++}`, authorizer: context },
      } as unknown as ApiEvent;
      const answer = await recorder.as(door.entry, () => entries[door.entry](event));
      const parsed = JSON.parse(answer.body) as Record<string, unknown>;
      if (answer.statusCode !== 200) throw new Error(`${method} ${path}: ${answer.body}`);
      return parsed;
    },
    callHot: async (entry, method, path, token, body) => {
      const [rawPath = path, rawQueryString = ''] = path.split('?');
      const event = {
        version: '2.0',
        rawPath,
        rawQueryString,
        headers: { authorization: `Bearer ${token}` },
        requestContext: { requestId: `r-${requests++}`, http: { method } },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      } as unknown as ApiEvent;
      const answer = await recorder.as(entry, () => entries[entry](event));
      if (answer.statusCode !== 200) throw new Error(`${method} ${path}: ${answer.body}`);
    },
    runDetector: () => recorder.as('detect-failures', () => detect()),
    runReconcile: () => recorder.as('reconcile', tick),
    close: async () => {
      await runner.stop();
      sqlite.close();
    },
  };

  async function caller(headers: Readonly<Record<string, string>>): Promise<unknown> {
    const event = { type: 'REQUEST', methodArn: 'arn:any', headers } as unknown as APIGatewayRequestAuthorizerEvent;
    const answer = await recorder.as('authorizer', () => authorize(event));
    return answer.context;
  }
}

async function apiEntries(
  sources: Readonly<Record<FunctionName, ReturnType<typeof fixedRuntime>>>,
): Promise<Readonly<Record<ApiEntry, ApiHandler>>> {
  const handlers = API_ENTRIES.map(async (name) => {
    const module = (await import(`../../functions/api/${name}.ts`)) as { create: (source: unknown) => ApiHandler };
    return [name, module.create(sources[name])] as const;
  });
  return Object.fromEntries(await Promise.all(handlers)) as Record<ApiEntry, ApiHandler>;
}
