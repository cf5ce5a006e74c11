import { AsyncLocalStorage } from 'node:async_hooks';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import * as heartbeatEntry from '../../functions/api/heartbeat.ts';
import * as routesEntry from '../../functions/api/routes.ts';
import { createControlPlane } from '../../local/control-plane.ts';
import type { ControlPlane } from '../../local/control-plane.ts';
import { createLocalFeeds } from '../../local/local-feeds.ts';
import { startSchedules } from '../../local/schedules.ts';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey } from '../../shared/adapters/signing-key.ts';
import type { ApiHandler } from '../../shared/runtime/api-handler.ts';
import type { ApiResult } from '../../shared/runtime/http-event.ts';
import { fixedRuntime } from '../../shared/runtime/runtime.ts';
import type { Logger } from '../../shared/ports.ts';
import type { CommittedWrite } from '../../shared/store/faults.ts';
import type { StoredItem } from '../../shared/ports.ts';
import { SqliteStore } from '../../shared/store/sqlite-store.ts';
import { withGlobalTimers } from '../simulation/global-timers.ts';
import { seededRandom } from '../simulation/random.ts';
import type { SeededRandom } from '../simulation/random.ts';
import { VirtualTime, WALL_CLOCK_START_MS } from '../simulation/virtual-time.ts';
import { PuppetNodes } from './puppet-nodes.ts';
import type { Answer, Ask } from './puppet-nodes.ts';

/** The production handlers over the embedded store, with nodes that live, under virtual time: what requests are fired at. */

/** One HTTP request, as it arrives at the front door or at a Function URL. */
export interface WireRequest {
  readonly door: 'rest-api' | 'function-url';
  readonly method: string;
  /** Percent-encoded, as sent. */
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | null;
  /** Function URL only: the body is base64 of bytes that may be no text. */
  readonly base64: boolean;
}

export interface WireAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** What the request, and nobody else, wrote; idempotency records and the journal apart. */
  readonly changes: readonly string[];
}

export interface FuzzWorld {
  readonly time: VirtualTime;
  readonly controlPlane: ControlPlane;
  readonly puppets: PuppetNodes;
  /** Failures that the control plane logged, by event. */
  readonly errors: Map<string, number>;
  /** What nodes met that nobody should: a 5xx. */
  readonly nodeComplaints: string[];
  nowMs(): number;
  /** Sends a request and lets time pass until it is answered. */
  send(request: WireRequest): Promise<WireAnswer>;
  /** Lets time pass. */
  pass(ms: number): Promise<void>;
  ask: Ask;
  adminToken(): string;
}

/** Longer than any request may take (API Gateway's 29 s), in virtual ms. */
const ANSWER_MS_MAX = 120_000;
const ADMIN_TOKEN_MS = 365 * 86_400_000;
const NODES = 8;

/** What a refused request may write: the claim of its key, and the note of the refusal in the journal (shared/store/entities.ts). */
const NOT_STATE = [
  { table: 'operations', partition: 'I#' },
  { table: 'events', partition: 'D#' },
] as const;

/** What the control plane says aloud though all is as it should be. */
const ALARMS: ReadonlySet<string> = new Set(['brake-engaged', 'brake-yields']);

interface Request {
  /** By the text of the key: how the item was before the request, and how it left it. */
  readonly touched: Map<string, { before: StoredItem | null; after: StoredItem | null }>;
}

/** Runs `work` in a world of its own. */
export async function withFuzzWorld<T>(seed: number | string, work: (world: FuzzWorld) => Promise<T>): Promise<T> {
  const time = new VirtualTime();
  return withGlobalTimers(time, async () => {
    const random = seededRandom(`fuzz-world/${seed}`);
    const { world, stop } = await makeWorld(time, random);
    try {
      return await work(world);
    } finally {
      await stop();
    }
  });
}

async function makeWorld(
  time: VirtualTime,
  random: SeededRandom,
): Promise<{ world: FuzzWorld; stop: () => Promise<void> }> {
  const { clock, timers } = time.processEnvironment({ name: 'control-plane' });
  const errors = new Map<string, number>();
  const log: Logger = {
    info: () => undefined,
    warn: () => undefined,
    error: (event, fields) => {
      if (ALARMS.has(event)) return;
      const error = fields?.['error'];
      const what = error instanceof Error ? `${event}: ${error.message.slice(0, 300)}` : event;
      errors.set(what, (errors.get(what) ?? 0) + 1);
    },
  };
  const requests = new AsyncLocalStorage<Request>();
  let underWay: Request | null = null;
  const feeds = createLocalFeeds();
  const onCommit = (writes: readonly CommittedWrite[]): void => {
    const request = requests.getStore();
    if (request !== undefined) noteWrites(request, writes);
    if (underWay !== null && underWay !== request) noteOthers(underWay, writes);
    // The stream is no part of the request.
    requests.exit(() => feeds.onCommit(writes));
  };
  const store = new SqliteStore({ path: ':memory:', random: random.fork('store'), timers, onCommit });
  let admin = '';
  const nodeComplaints: string[] = [];
  const ask: Ask = async (method, path, token, body) => {
    const [bare = '/', query = ''] = path.split('?');
    const result = await controlPlane.handle({
      method,
      path: bare,
      query,
      headers: [['Authorization', `Bearer ${token}`]],
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (result.statusCode >= 500) nodeComplaints.push(`${method} ${path}: ${result.statusCode} ${result.body}`);
    return { status: result.statusCode, body: JSON.parse(result.body) as Answer['body'] };
  };
  const puppets = new PuppetNodes({ time, random: random.fork('nodes'), ask, adminToken: () => admin });
  const controlPlane: ControlPlane = createControlPlane({
    store,
    nodes: puppets.client,
    root: createLocalRootSigner({ privateKey: generateSigningKey() }),
    clock,
    timers,
    random: random.fork('control-plane'),
    log,
    settings: { leaseProfile: 'standard', pushToNodes: true, defaultReplicationFactor: 3 },
  });
  const source = fixedRuntime({ deps: controlPlane.deps, answers: 'checked' });
  const functionUrls = { heartbeat: heartbeatEntry.create(source), routes: routesEntry.create(source) };
  await feeds.start(controlPlane.deps);
  admin = await controlPlane.issueAdminToken('fuzzer', ADMIN_TOKEN_MS);
  const schedules = startSchedules(controlPlane, timers, log);
  for (let i = 1; i <= NODES; i++) puppets.adopt(`node-10${i}`);

  const finish = async <R>(work: Promise<R>, what: string): Promise<R> => {
    let done = false;
    work.then(
      () => (done = true),
      () => (done = true),
    );
    if (!(await time.run(() => done, time.nowMs() + ANSWER_MS_MAX)) && !done) throw new Error(`no answer to ${what}`);
    return work;
  };
  const world: FuzzWorld = {
    time,
    controlPlane,
    puppets,
    errors,
    nodeComplaints,
    nowMs: () => Math.floor(WALL_CLOCK_START_MS + time.nowMs()),
    send: async (request) => {
      const own: Request = { touched: new Map() };
      underWay = own;
      const work = requests.run(own, () => serve(controlPlane, functionUrls, request));
      const result = await finish(work, `${request.method} ${request.path}`);
      underWay = null;
      const headers = Object.fromEntries(Object.entries(result.headers ?? {}).map(([name, v]) => [name, String(v)]));
      return { status: result.statusCode, headers, text: result.body, changes: changesOf(own) };
    },
    pass: async (ms) => void (await time.run(time.nowMs() + ms)),
    ask: (...args) => finish(ask(...args), args[1]),
    adminToken: () => admin,
  };
  return {
    world,
    stop: async () => {
      puppets.byId.clear();
      await finish(Promise.all([schedules.stop(), controlPlane.operations.stop(), feeds.settled()]), 'stop');
      store.close();
    },
  };
}

/** The handler of the entry, as API Gateway or the Function URL calls it. */
function serve(
  controlPlane: ControlPlane,
  functionUrls: { readonly heartbeat: ApiHandler; readonly routes: ApiHandler },
  request: WireRequest,
): Promise<ApiResult> {
  if (request.door === 'rest-api') return controlPlane.handle(request);
  const entry = request.path.startsWith('/routes') ? functionUrls.routes : functionUrls.heartbeat;
  return entry(functionUrlEvent(request));
}

/** Payload format 2.0: header names in lower case, repeated values joined, no stage. */
function functionUrlEvent(request: WireRequest): APIGatewayProxyEventV2 {
  const headers: Record<string, string> = {};
  for (const [name, value] of request.headers) {
    const lower = name.toLowerCase();
    headers[lower] = headers[lower] === undefined ? value : `${headers[lower]},${value}`;
  }
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: request.path,
    rawQueryString: request.query,
    headers,
    requestContext: {
      accountId: 'anonymous',
      apiId: 'function-url',
      domainName: 'function-url',
      domainPrefix: 'function-url',
      http: { method: request.method, path: request.path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: '' },
      requestId: 'request',
      routeKey: '$default',
      stage: '$default',
      time: '',
      timeEpoch: 0,
    },
    ...(request.body === null ? {} : { body: request.body }),
    isBase64Encoded: request.base64,
  };
}

function noteWrites({ touched }: Request, writes: readonly CommittedWrite[]): void {
  for (const { key, before, after } of writes) {
    if (NOT_STATE.some(({ table, partition }) => key.table === table && key.pk.startsWith(partition))) continue;
    const name = `${key.table} ${key.pk} ${key.sk}`;
    const earlier = touched.get(name);
    touched.set(name, { before: earlier === undefined ? before : earlier.before, after });
  }
}

/** What the request wrote may be written again by others before it is answered: an item that they took away is not left. */
function noteOthers({ touched }: Request, writes: readonly CommittedWrite[]): void {
  for (const { key, after } of writes) {
    const name = `${key.table} ${key.pk} ${key.sk}`;
    const own = touched.get(name);
    if (own !== undefined) touched.set(name, { before: own.before, after });
  }
}

/** What the request left changed, in words: what it wrote and took away again is no change. */
const changesOf = ({ touched }: Request): readonly string[] =>
  [...touched].flatMap(([name, { before, after }]) => {
    if (before === null && after === null) return [];
    return [`${after === null ? 'deleted' : before === null ? 'made' : 'changed'} ${name}`];
  });
