import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Violation } from '../../shared/domain/invariants.ts';
import { encodedKey } from '../../shared/domain/ids.ts';
import { rangeContains } from '../../shared/domain/keys.ts';
import { inSyncReplicas } from '../../shared/domain/shard.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import { LEASE_PROFILES } from '../../shared/domain/lease.ts';
import { createLocalRootSigner } from '../../shared/adapters/local-root-signer.ts';
import { generateSigningKey } from '../../shared/adapters/signing-key.ts';
import { Clients } from './clients.ts';
import { SimulatedControlPlane } from './control-plane.ts';
import type { Deliveries, World } from './control-plane.ts';
import { DataWatch } from './data-watch.ts';
import { FaultPlan } from './faults.ts';
import { withGlobalTimers } from './global-timers.ts';
import { checkRegister } from './history.ts';
import { MetadataWatch } from './metadata-watch.ts';
import { fieldsDropped } from './later-release.ts';
import { MemoryStore } from './memory-store.ts';
import { SimulatedNetwork } from './network.ts';
import { SimulatedNode } from './nodes.ts';
import { StoreClimate, tornReads } from './process-store.ts';
import { checkCopies } from './end-checks.ts';
import { Operator } from './operator.ts';
import { PACES } from './pace.ts';
import type { Pace } from './pace.ts';
import { seededRandom } from './random.ts';
import { recovered } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import { choicesOf } from './seed-choices.ts';
import type { SeedChoices } from './seed-choices.ts';
import { setUpCluster } from './set-up.ts';
import type { ScenarioCluster, SimulationOptions, SimulationResult } from './options.ts';
import { Trace } from './trace.ts';
import { VirtualTime } from './virtual-time.ts';
import { CONTROL_PLANE, clientNetwork } from './wire.ts';
import { watchWire } from './wire-watch.ts';
import { Workload } from './workload.ts';

export type { Mistakes, SimulationOptions, SimulationResult } from './options.ts';

const TABLE = 'rows';
/** Three shards, seven keys: few enough that operations meet, enough that a shard can be split. */
const PRE_SPLIT = ['h', 'q'];
const KEYS = ['a', 'b', 'e', 'k', 'm', 'p', 'x'];
const ZONES = 3;
/** Where nodes beat through a relay: this one, which faults hit as any other. */
const RELAY_NODE = 'node-101';
const ASK_MS_MAX = 15_000;
const TRACE_TAIL_LINES = 200;
const TOKEN_LIFETIME_MS = 24 * 3_600_000;
const URL_OF_CONTROL_PLANE = `http://${CONTROL_PLANE.host}:${CONTROL_PLANE.port}`;

/** One run: set up, faults for the given time, heal, recover, check. The same options give the same trace. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const time = new VirtualTime();
  return withGlobalTimers(time, async () => {
    // Memory-backed where there is such a folder: fsync is simulated by SQLite's own commit order, not by the disk.
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'shardkeeper-sim-'));
    const run = new Simulation(time, options, folder);
    try {
      return await run.run();
    } finally {
      run.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

class Simulation implements ScenarioCluster {
  readonly nodes: SimulatedNode[] = [];
  readonly network: SimulatedNetwork;
  readonly climate = new StoreClimate();
  readonly controlPlaneHost = CONTROL_PLANE.host;
  readonly leaseMs: number;
  private readonly world: World;
  readonly time: VirtualTime;
  private readonly options: SimulationOptions;
  private readonly choices: SeedChoices;
  private readonly trace: Trace;
  private readonly pace: Pace;
  private readonly metadata: MetadataWatch;
  private readonly data: DataWatch;
  private readonly store: MemoryStore;
  private readonly controlPlane: SimulatedControlPlane;
  private readonly workload: Workload;
  private readonly clients: Clients;
  private readonly faults: FaultPlan;
  private operator: Operator | null = null;
  private readonly problems: string[] = [];
  private readonly joinTokens: string[] = [];
  private admin = '';
  private dataToken = '';
  private recovery: Recovery | null = null;
  private readonly random;

  constructor(time: VirtualTime, options: SimulationOptions, folder: string) {
    this.time = time;
    this.options = options;
    const profile = options.leaseProfile ?? 'fast';
    const pace = PACES[options.pace ?? 'dense'];
    this.pace = pace;
    this.choices = choicesOf(options);
    this.leaseMs = LEASE_PROFILES[profile].leaseMs;
    this.random = seededRandom(options.seed);
    this.trace = new Trace(() => time.nowMs(), options.onTrace);
    this.network = new SimulatedNetwork(time, this.random.fork('network'), this.trace);
    this.world = { time, random: this.random, trace: this.trace, network: this.network, climate: this.climate };
    this.metadata = new MetadataWatch(
      (violation) => this.violated(violation),
      (text) => this.trace.add('STORE', text),
      (nodeId, nodeEpoch) => this.nodes.some((node) => node.nodeId === nodeId && node.believesInLease(nodeEpoch)),
    );
    this.data = new DataWatch(
      () => time.nowMs(),
      (violation) => this.violated(violation),
    );
    watchWire(this.network, this.data, this.metadata, {
      nowMs: () => time.nowMs(),
      holdsLease: (nodeId) => this.nodes.some((node) => node.nodeId === nodeId && node.holdsLease()),
    });
    this.store = new MemoryStore({
      random: this.random.fork('store-writes'),
      timers: time.processEnvironment({ name: 'store' }).timers,
      faults: tornReads(this.random.fork('torn-reads')),
      onCommit: (writes) => {
        this.metadata.committed(writes);
        for (const name of fieldsDropped(writes)) this.failed(`Releases: ${name} lost fields of the next release`);
      },
    });
    const mistakes = options.mistakes ?? {};
    const same = <T>(value: T): T => value;
    this.controlPlane = new SimulatedControlPlane(this.world, {
      store: this.store,
      root: createLocalRootSigner({ privateKey: generateSigningKey() }),
      leaseProfile: profile,
      pushToNodes: options.pushToNodes ?? true,
      pace,
      mixedReleases: this.choices.mixedReleases,
      hotCalls: this.choices.hotCalls,
      alter: mistakes.alterDeps ?? same,
    });
    for (let i = 0; i < (options.nodes ?? 5); i++)
      this.nodes.push(
        new SimulatedNode(this.world, {
          nodeId: `node-${101 + i}`,
          zone: `zone-${(i % ZONES) + 1}`,
          folder,
          tuning: pace.tuning,
          medium: this.choices.medium,
          relaying: !this.choices.relayed ? 'none' : i === 0 ? 'relay' : { through: RELAY_NODE },
          joinToken: () => this.joinTokens.pop() ?? '',
          alterLease: mistakes.alterLease ?? same,
          alterPeers: mistakes.alterPeers ?? same,
          alterEngine: mistakes.alterEngine ?? same,
          onWipe: () => this.data.wiped(`node-${101 + i}`),
        }),
      );
    this.workload = new Workload(time, this.trace, KEYS);
    this.clients = new Clients(this.world, this.metadata, this.workload, {
      table: TABLE,
      keys: KEYS,
      pace,
      tokens: () => ({ admin: this.admin, data: this.dataToken }),
    });
    this.faults = new FaultPlan(this, { time, random: this.random.fork('faults'), trace: this.trace }, pace);
  }

  async run(): Promise<SimulationResult> {
    try {
      await this.setUp();
      if (this.options.scenario === undefined) await this.runUnderFaults();
      else await this.options.scenario(this);
      this.checkEnd();
    } catch (error) {
      if (this.problems.length === 0)
        this.problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    return this.result();
  }

  private async runUnderFaults(): Promise<void> {
    this.clients.startWorkload();
    if (this.choices.operated) this.startOperator();
    if (this.options.script === undefined) this.faults.start();
    else this.options.script(this, this.time);
    await this.time.run(this.time.nowMs() + this.options.minutes * 60_000);
    this.faults.stop();
    this.operator?.stop();
    await this.recover();
  }

  shards(): readonly ShardDescriptor[] {
    return [...this.metadata.shards.values()];
  }

  keyOf(shard: ShardDescriptor): string {
    const key = KEYS.find((candidate) => rangeContains(shard, encodedKey(candidate)));
    if (key === undefined) throw new Error(`no key of the run lies in ${shard.shardId}`);
    return key;
  }

  writeUntilAcknowledged(name: string, key: string, done: () => void): void {
    this.clients.writeUntilAcknowledged(name, key, done);
  }

  readUntilAnswered(name: string, key: string, done: (value: string | null) => void): void {
    this.clients.readUntilAnswered(name, key, done);
  }

  async ask(method: 'GET' | 'POST', path: string, body: unknown): Promise<Record<string, unknown>> {
    const process = this.time.processEnvironment({ name: 'administrator' });
    const network = clientNetwork(this.network, { host: 'administrator', process });
    let answer: Awaited<ReturnType<typeof network.call>> | null = null;
    process.deliver(0, () => {
      const url = `${URL_OF_CONTROL_PLANE}${path}`;
      void network.call({ method, url, bearer: this.admin, body, timeoutMs: ASK_MS_MAX }).then((it) => (answer = it));
    });
    await this.time.run(() => answer !== null, this.time.nowMs() + 2 * ASK_MS_MAX);
    const got = answer as Awaited<ReturnType<typeof network.call>> | null;
    if (got?.kind !== 'ANSWERED') throw new Error(`${method} ${path}: no answer`);
    return { status: got.status, ...(got.body as Record<string, unknown>) };
  }

  close(): void {
    for (const node of this.nodes) node.close();
    this.store.close();
  }

  crashDetector(): void {
    this.controlPlane.crashDetector();
  }

  pauseDetector(durationMs: number): void {
    this.controlPlane.pauseDetector(durationMs);
  }

  crashFunction(): void {
    this.controlPlane.crashFunction();
  }

  freezeFunction(durationMs: number): void {
    this.controlPlane.freezeFunction(durationMs);
  }

  get deliveries(): Deliveries {
    return this.controlPlane.deliveries;
  }

  /** True while every shard has all its replicas IN_SYNC under their nodes' present epochs. */
  fullyReplicated(): boolean {
    return [...this.metadata.shards.values()].every(
      (shard) =>
        inSyncReplicas(shard).every(
          (replica) => this.metadata.liveness.get(replica.nodeId)?.nodeEpoch === replica.nodeEpoch,
        ) && inSyncReplicas(shard).length === shard.replicas.length,
    );
  }

  private startOperator(): void {
    const nodes = this.nodes.map(({ nodeId }) => nodeId);
    this.operator = new Operator(this.world, this.metadata, {
      admin: this.admin,
      table: TABLE,
      nodes,
      pace: this.pace,
    });
    this.operator.start();
  }

  private async setUp(): Promise<void> {
    const { tokens } = this.controlPlane.operatorDeps();
    this.admin = await tokens.issue({ kind: 'admin', name: 'operator' }, TOKEN_LIFETIME_MS);
    this.dataToken = await tokens.issue(
      { kind: 'data', name: 'reader', tables: ['*'], access: 'read' },
      TOKEN_LIFETIME_MS,
    );
    const { time, network, metadata, nodes, controlPlane, joinTokens } = this;
    await setUpCluster({
      ...{ time, network, metadata, nodes, controlPlane, joinTokens, admin: this.admin },
      table: { table: TABLE, pre_split: PRE_SPLIT, replication_factor: 3 },
      impatient: this.choices.operated,
    });
    this.trace.add('RUN', 'set up');
  }

  private violated(violation: Violation): void {
    const { invariant, rule, subject, message } = violation;
    const text = `${invariant}${rule === null ? '' : ` (${rule})`} at ${this.time.nowMs().toFixed(1)} ms: ${subject}: ${message}`;
    this.failed(text);
  }

  private failed(text: string): void {
    this.trace.add('VIOLATION', text);
    this.problems.push(text);
    this.time.fail(new Error(text));
  }

  /** After the faults: what must come back, within its bounds. */
  private async recover(): Promise<void> {
    this.workload.stop();
    const { time, metadata } = this;
    const left = this.clients.writeAndReadAll();
    const outcome = await recovered({ time, metadata, left, fullyReplicated: () => this.fullyReplicated() });
    this.recovery = outcome;
    this.problems.push(...outcome.problems);
  }

  private checkEnd(): void {
    this.metadata.checkTables();
    if (this.options.scenario === undefined && this.problems.length === 0)
      this.problems.push(...checkCopies(this.metadata.shards, this.nodes));
    for (const [key, history] of this.workload.history)
      for (const problem of checkRegister(key, history)) this.problems.push(`I-6: not linearizable: ${problem}`);
  }

  /** Operations by type and end, and the operator's requests by answer. */
  private operationCounts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { type, status, outcome } of this.metadata.operations.values()) {
      const name = `operation: ${type} ${status}${outcome === 'ROLLED_BACK' ? ', rolled back' : ''}`;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    for (const [answer, count] of this.operator?.answers ?? []) counts[`request: ${answer}`] = count;
    return counts;
  }

  private result(): SimulationResult {
    const faults = Object.fromEntries([...this.faults.counts].map(([name, count]) => [`fault: ${name}`, count]));
    return {
      seed: this.options.seed,
      pass: this.problems.length === 0,
      problems: this.problems,
      traceHash: this.trace.digest(),
      traceLines: this.trace.count,
      traceTail: this.trace.tail(TRACE_TAIL_LINES),
      virtualMs: Math.round(this.time.nowMs()),
      events: this.time.eventsRun,
      counts: {
        ...this.workload.counts,
        ...this.metadata.counts,
        ...this.data.counts,
        messages: this.network.counts.sent,
        messagesLost: this.network.counts.lost,
        recoveryMs: Math.round(this.recovery?.servedMs ?? 0),
        operationsMs: Math.round(this.recovery?.operationsMs ?? 0),
        'operations late': this.recovery?.operationsLate === true ? 1 : 0,
        ...faults,
        ...this.operationCounts(),
      },
    };
  }
}
