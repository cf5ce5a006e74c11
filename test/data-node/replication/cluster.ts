import { openEngine } from '../../../data-node/engine/engine.ts';
import type { Engine } from '../../../data-node/engine/engine.ts';
import type { Disk, PeerNetwork } from '../../../data-node/ports.ts';
import type { Tuning } from '../../../data-node/replication/tuning.ts';
import type { ServeEvent } from '../../../data-node/replication/context.ts';
import { createShardHost } from '../../../data-node/replication/shard-host.ts';
import type { ReplicationHost } from '../../../data-node/replication/shard-host.ts';
import type { CommandAck, NodeCommand } from '../../../shared/contracts/node/commands.ts';
import type { Json } from '../../../shared/domain/records.ts';
import { err, ok } from '../../../shared/domain/result.ts';
import { FakeControlPlane } from '../../support/fake-control-plane.ts';
import { seededRandom } from '../../simulation/random.ts';
import { VirtualTime } from '../../simulation/virtual-time.ts';
import type { SimulatedProcess } from '../../simulation/virtual-time.ts';

/** Milliseconds of one way between two nodes. */
const LATENCY_MS = 1;
const SHARD = 'shard-1';
const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

interface Running {
  readonly process: SimulatedProcess;
  readonly host: ReplicationHost;
  readonly engine: Engine;
  registration: { nodeId: string; nodeEpoch: number; incarnation: string; storeUuid: string } | null;
  leaseHeld: boolean;
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, Json>;
}

/** Shard hosts over an in-memory network, a fake control plane and virtual time. Every host is the production one. */
export class Cluster {
  readonly time = new VirtualTime();
  readonly controlPlane = new FakeControlPlane(() => Math.floor(this.time.nowMs()));
  readonly served: (ServeEvent & { nodeId: string })[] = [];
  readonly forks: { readonly nodeId: string; readonly shardId: string; readonly continued: boolean }[] = [];
  private readonly random = seededRandom(7);
  private readonly running = new Map<string, Running>();
  private readonly cuts = new Set<string>();
  /** Requests between nodes that get lost, besides the cuts. */
  loses: (message: { readonly to: string; readonly verb: string; readonly shardId: unknown }) => boolean = () => false;
  /** Answers between nodes that get lost. */
  losesAnswer: (message: { readonly from: string; readonly verb: string }) => boolean = () => false;
  private writes = 0;
  /** Reports are answered, lost before they arrive, or applied with the answer lost. */
  reportsAre: 'ANSWERED' | 'LOST' | 'APPLIED_UNANSWERED' = 'ANSWERED';
  /** Every request between nodes, in the order of arrival. */
  readonly traffic: { readonly from: string; readonly to: string; readonly verb: string; readonly body: Json }[] = [];

  /** Starts a node over `engine` (its disk) or a new one in memory; registers it, which fences its predecessor. */
  start(
    nodeId: string,
    options: {
      engine?: Engine;
      storeUuid?: string;
      port?: number;
      unsafeWithoutSelfFencing?: boolean;
      tuning?: Partial<Tuning>;
      disk?: Disk;
    } = {},
  ): Engine {
    const engine = options.engine ?? openEngine({ memory: true });
    const process = this.time.processEnvironment({ name: nodeId });
    const storeUuid = options.storeUuid ?? this.controlPlane.nodes.get(nodeId)?.storeUuid ?? `store-${nodeId}`;
    const node = this.controlPlane.register(nodeId, storeUuid, options.port ?? 7000);
    const registration = { nodeId, nodeEpoch: node.nodeEpoch, incarnation: `i-${node.nodeEpoch}`, storeUuid };
    const host = createShardHost({
      env: { clock: process.clock, timers: process.timers, random: this.random.fork(nodeId), log: SILENT },
      engine,
      lease: { registration: () => running.registration, held: () => running.leaseHeld },
      controlPlane: {
        report: async (reports) => {
          const from = { nodeId, nodeEpoch: running.registration?.nodeEpoch ?? 0 };
          await process.timers.sleep(LATENCY_MS);
          if (this.reportsAre === 'LOST' || this.cuts.has(`${nodeId}>control`)) return err(NO_ANSWER);
          const results = this.controlPlane.report(from, reports);
          await process.timers.sleep(LATENCY_MS);
          return this.reportsAre === 'APPLIED_UNANSWERED' ? err(NO_ANSWER) : ok(results);
        },
        getShard: async (shardId) => {
          await process.timers.sleep(2 * LATENCY_MS);
          if (this.cuts.has(`${nodeId}>control`)) return err(NO_ANSWER);
          return ok(this.controlPlane.shards.has(shardId) ? this.controlPlane.shard(shardId) : null);
        },
      },
      peers: this.peersOf(nodeId, process, () => running.registration?.nodeEpoch ?? 0),
      observer: {
        onServe: (event) => this.served.push({ ...event, nodeId }),
        onFork: (event) => this.forks.push({ ...event, nodeId }),
      },
      ...(options.tuning === undefined ? {} : { tuning: options.tuning }),
      ...(options.disk === undefined ? {} : { disk: options.disk }),
      ...(options.unsafeWithoutSelfFencing === true ? { unsafeWithoutSelfFencing: true } : {}),
    });
    const running: Running = { process, host, engine, registration, leaseHeld: true };
    this.running.set(nodeId, running);
    host.registered(registration);
    return engine;
  }

  /** `kill -9`: answers the disk. */
  kill(nodeId: string): Engine {
    const { process, engine } = this.at(nodeId);
    process.kill();
    this.running.delete(nodeId);
    return engine;
  }

  pause(nodeId: string): void {
    this.at(nodeId).process.pause();
  }

  resume(nodeId: string): void {
    this.at(nodeId).process.resume();
  }

  loseLease(nodeId: string): void {
    this.at(nodeId).leaseHeld = false;
  }

  /** The registration of the process changes, and its shard host was not yet told. */
  replaceRegistration(nodeId: string): void {
    const running = this.at(nodeId);
    if (running.registration === null) throw new Error(`${nodeId} is not registered`);
    running.registration = { ...running.registration, nodeEpoch: running.registration.nodeEpoch + 1 };
  }

  renewLease(nodeId: string): void {
    this.at(nodeId).leaseHeld = true;
  }

  /** Cuts one direction; `control` is the control plane. */
  cut(from: string, to: string): void {
    this.cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.cuts.clear();
  }

  async run(ms: number): Promise<void> {
    await this.time.run(this.time.nowMs() + ms);
  }

  async until(what: string, holds: () => boolean, limitMs = 30_000): Promise<void> {
    if (!(await this.time.run(holds, this.time.nowMs() + limitMs))) throw new Error(`not reached: ${what}`);
  }

  /** Runs virtual time until `work` has settled. */
  async wait<T>(work: Promise<T>, limitMs = 30_000): Promise<T> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    work.then(note, note);
    await this.until('the promise settles', () => settled, limitMs);
    return work;
  }

  apply(command: NodeCommand): Promise<CommandAck> {
    return this.wait(this.at(command.node_id).host.apply(command));
  }

  /** A table's shard on these nodes, created and led by the first. */
  async createShard(nodeIds: readonly string[], parts: { minInSync?: number; keyType?: 'int64' } = {}): Promise<void> {
    const { keyType } = parts;
    this.controlPlane.createShard({
      shardId: SHARD,
      nodeIds,
      minInSync: parts.minInSync ?? 2,
      ...(keyType === undefined ? {} : { keyType }),
    });
    for (const nodeId of nodeIds) await this.apply(this.controlPlane.command('create_replica', SHARD, nodeId));
    await this.until('the first leader serves', () => this.serves(nodeIds[0]!));
  }

  serves(nodeId: string, shardId = SHARD): boolean {
    return this.running.get(nodeId)?.host.inspect(shardId)?.role === 'SERVING';
  }

  runs(nodeId: string): boolean {
    return this.running.has(nodeId);
  }

  /** The replica on a node, as its host and disk have it. */
  replica(nodeId: string, shardId = SHARD): NonNullable<ReturnType<ReplicationHost['inspect']>> {
    const view = this.at(nodeId).host.inspect(shardId);
    if (view === null) throw new Error(`no replica on ${nodeId}`);
    return view;
  }

  holds(nodeId: string, shardId = SHARD): boolean {
    return this.at(nodeId).host.inspect(shardId) !== null;
  }

  host(nodeId: string): ReplicationHost {
    return this.at(nodeId).host;
  }

  engine(nodeId: string): Engine {
    return this.at(nodeId).engine;
  }

  /** Values in a node's committed state, key by key. */
  committedRows(nodeId: string, shardId = SHARD): Record<string, Json> {
    const { engine } = this.at(nodeId);
    const { meta, commitSeq } = this.replica(nodeId, shardId);
    const rows = engine.scan(meta, { from: '', to: null }, commitSeq, 10_000);
    return Object.fromEntries(
      rows.flatMap((row) => (row.value === null ? [] : [[row.key, JSON.parse(row.value) as Json]])),
    );
  }

  /** (epoch, seq) of every entry that a node's log keeps. */
  log(nodeId: string, shardId = SHARD): string[] {
    const { meta } = this.replica(nodeId, shardId);
    const limit = { entries: 100_000, bytes: Infinity };
    return this.at(nodeId)
      .engine.entries(meta, 0, limit)
      .map((entry) => `${entry.epoch}.${entry.seq}`);
  }

  ask(nodeId: string, verb: string, body: Record<string, unknown>): Promise<Answer> {
    const caller = { kind: 'client', name: 'test', tables: ['cities'], access: 'read-write' } as const;
    const request = { table: 'cities', shard_id: SHARD, epoch: this.controlPlane.shard(SHARD).epoch, ...body };
    return this.at(nodeId).host.handleData(verb, request, caller) as Promise<Answer>;
  }

  put(nodeId: string, key: string, value: Json, body: Record<string, unknown> = {}): Promise<Answer> {
    return this.wait(this.ask(nodeId, 'put', { key, value, write_id: `w-${++this.writes}`, ...body }));
  }

  get(nodeId: string, key: string, body: Record<string, unknown> = {}): Promise<Answer> {
    return this.wait(this.ask(nodeId, 'get', { key, ...body }));
  }

  /** Fences the leader's node and lets another one lead; `tell` is how it learns of it. */
  async failOver(nodeId: string, shardId = SHARD): Promise<void> {
    const { leader } = this.controlPlane.shard(shardId);
    if (this.controlPlane.node(leader.node_id).nodeEpoch === leader.node_epoch) this.controlPlane.fence(leader.node_id);
    this.controlPlane.elect(shardId, nodeId);
    await this.apply(this.controlPlane.command('become_leader', shardId, nodeId));
    await this.until(`${nodeId} serves ${shardId}`, () => this.serves(nodeId, shardId));
  }

  private at(nodeId: string): Running {
    const running = this.running.get(nodeId);
    if (running === undefined) throw new Error(`${nodeId} does not run`);
    return running;
  }

  private peersOf(from: string, process: SimulatedProcess, nodeEpoch: () => number): PeerNetwork {
    return {
      call: ({ host: to, port }, path, body, { timeoutMs }) =>
        new Promise((resolve) => {
          const timer = process.timers.after(timeoutMs, () => {
            resolve(err({ code: 'UNREACHABLE', message: 'no answer' }));
          });
          const target = this.running.get(to);
          if (
            target === undefined ||
            this.controlPlane.node(to).address.port !== port ||
            this.cuts.has(`${from}>${to}`)
          )
            return;
          const verb = path.replace('/replication/', '');
          const request = JSON.parse(JSON.stringify(body)) as Record<string, Json>;
          if (this.loses({ to, verb, shardId: request['shard_id'] })) return;
          const caller = { kind: 'node' as const, nodeId: from, nodeEpoch: nodeEpoch() };
          target.process.deliver(LATENCY_MS, () => {
            this.traffic.push({ from, to, verb, body: request });
            void target.host.handlePeer(verb, request, caller).then((answer) => {
              if (this.cuts.has(`${to}>${from}`) || this.losesAnswer({ from: to, verb })) return;
              const text = JSON.stringify(answer.body);
              process.deliver(LATENCY_MS, () => {
                timer.cancel();
                resolve(ok({ status: answer.status, body: JSON.parse(text) as Json }));
              });
            });
          });
        }),
    };
  }
}

const NO_ANSWER = { code: 'TIMEOUT', message: 'no answer' };

/** Three nodes and one shard over all of them, led by node `n1`. */
export async function threeNodes(parts: { minInSync?: number } = {}): Promise<Cluster> {
  const cluster = new Cluster();
  for (const nodeId of ['n1', 'n2', 'n3']) cluster.start(nodeId);
  await cluster.createShard(['n1', 'n2', 'n3'], parts);
  return cluster;
}

export const SHARD_ID = SHARD;
