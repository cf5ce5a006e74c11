import { Agent } from '../../data-node/agent/agent.ts';
import { openDataDirectory } from '../../data-node/agent/data-directory.ts';
import type { DataDirectory } from '../../data-node/agent/data-directory.ts';
import type { NodeKeyStore } from '../../data-node/agent/ports.ts';
import type { Engine } from '../../data-node/engine/engine.ts';
import { asStorageError } from '../../data-node/engine/storage-error.ts';
import type { LeaseView, PeerNetwork } from '../../data-node/ports.ts';
import { createShardHost } from '../../data-node/replication/shard-host.ts';
import type { Tuning } from '../../data-node/replication/tuning.ts';
import { handle } from '../../data-node/server/dispatch.ts';
import type { World } from './control-plane.ts';
import type { FaultyNode } from './faults.ts';
import { contentOf } from './network.ts';
import type { NetworkAnswer, NetworkRequest } from './network.ts';
import { NodeDisk } from './node-disk.ts';
import type { DiskImage } from './node-disk.ts';
import { liesInStatistics, onDisk } from './node-faults.ts';
import type { DiskCondition } from './node-faults.ts';
import type { SeededRandom } from './random.ts';
import { traceLogger } from './trace.ts';
import { controlPlaneTransport, peerNetwork } from './wire.ts';
import type { SimulatedProcess } from './virtual-time.ts';

export const NODE_PORT = 7000;
/** Clock error of a node: its lease and the detector's patience differ by a third, this by a fiftieth. */
const CLOCK_RATE_ERROR_MAX = 0.02;
const CLOCK_SKEW_MS_MAX = 1_500;

export interface NodeOptions {
  readonly nodeId: string;
  readonly zone: string;
  /** Folder of the node's database files. */
  readonly folder: string;
  readonly medium: 'FILE' | 'MEMORY';
  readonly tuning: Partial<Tuning>;
  /** A join token for a directory that is empty. */
  readonly joinToken: () => string;
  /** What the node is in relaying heartbeats (L3). */
  readonly relaying: 'none' | 'relay' | { readonly through: string };
  /** Planted mistakes come in here. */
  readonly alterLease: (lease: LeaseView) => LeaseView;
  readonly alterPeers: (peers: PeerNetwork) => PeerNetwork;
  readonly alterEngine: (engine: Engine) => Engine;
  readonly onWipe: () => void;
}

/** One process of a node, and what lives and dies with it. */
interface Running {
  readonly process: SimulatedProcess;
  readonly engine: Engine;
  lease: LeaseView | null;
  agent: Agent | null;
}

/** A data node: the production agent, shard host, engine and dispatcher in a process that faults can kill, freeze and rob of its disk. */
export class SimulatedNode implements FaultyNode {
  readonly nodeId: string;
  private readonly world: World;
  private readonly options: NodeOptions;
  private running: Running | null = null;
  private disk: NodeDisk;
  private diskCondition: DiskCondition = 'WELL';
  private lies = false;
  /** A process that could not start for want of space starts when there is some. */
  private waitsForDisk = false;
  private starts = 0;

  constructor(world: World, options: NodeOptions) {
    this.world = world;
    this.options = options;
    this.nodeId = options.nodeId;
    this.disk = new NodeDisk({ name: options.nodeId, folder: options.folder, medium: options.medium });
  }

  /** The engine of the running process; null while none runs. */
  engine(): Engine | null {
    return this.running?.engine ?? null;
  }

  isUp(): boolean {
    return this.running?.process.state() === 'RUNNING';
  }

  /** True while a living process of the node would answer as leader under this node epoch, frozen or not. */
  believesInLease(nodeEpoch: number): boolean {
    const lease = this.running?.lease;
    return lease?.registration()?.nodeEpoch === nodeEpoch && lease.held();
  }

  /** True while a living process of the node believes in a lease, whatever its node epoch. */
  holdsLease(): boolean {
    return this.running?.lease?.held() === true;
  }

  start(): void {
    if (this.running !== null) return;
    const { time, network, trace } = this.world;
    const { nodeId } = this.options;
    const name = `${nodeId}.${++this.starts}`;
    const random = this.world.random.fork(name);
    const process = time.processEnvironment({
      name,
      clockRate: 1 + random.between(-CLOCK_RATE_ERROR_MAX, CLOCK_RATE_ERROR_MAX),
      skewMs: random.between(-CLOCK_SKEW_MS_MAX, CLOCK_SKEW_MS_MAX),
    });
    const log = traceLogger(trace, name);
    const engine = onDisk(this.disk.open(), {
      condition: () => this.diskCondition,
      stall: (stallMs) => {
        process.pause();
        time.after(stallMs, () => process.resume());
      },
      random: random.fork('disk'),
    });
    const running: Running = { process, engine, lease: null, agent: null };
    this.running = running;
    const environment = { clock: process.clock, timers: process.timers, random, log };
    const directory = this.openDirectory(engine, random);
    if (typeof directory === 'string') {
      // As the process does: it says why and ends.
      trace.add(name, `does not start: ${directory}`);
      this.crash();
      return;
    }
    const sender = { host: nodeId, process };
    const { relaying } = this.options;
    const agent: Agent = new Agent({
      environment,
      controlPlane: liesInStatistics(controlPlaneTransport(network, sender), () => this.lies, random.fork('lies')),
      directory,
      address: { nodeId, host: nodeId, port: NODE_PORT, zone: this.options.zone, version: 'simulated' },
      joinToken: directory.nodeEpoch() === null ? this.options.joinToken() : null,
      relaying: {
        forOthers: relaying === 'relay',
        through:
          typeof relaying === 'string'
            ? null
            : { nodeId: relaying.through, peers: peerNetwork(network, sender, () => agent.credential()) },
      },
    });
    const lease = this.options.alterLease(agent.lease);
    running.lease = lease;
    running.agent = agent;
    const host = createShardHost({
      env: environment,
      tuning: this.options.tuning,
      engine: this.options.alterEngine(engine),
      lease,
      controlPlane: agent.controlPlane,
      peers: this.options.alterPeers(peerNetwork(network, sender, () => agent.credential())),
    });
    agent.attach(host);
    const deps = { agent, host, log, nodeId, version: 'simulated' };
    network.listen(nodeId, NODE_PORT, {
      process,
      handle: async (request: NetworkRequest): Promise<NetworkAnswer> => {
        const { method, path, headers } = request;
        const answer = await handle(deps, { method, path, headers, body: contentOf(request) });
        return { status: answer.status, headers: {}, body: JSON.stringify(answer.body) };
      },
    });
    process.deliver(0, () => {
      agent.run().then(
        (end) => {
          trace.add(name, `agent ended: ${JSON.stringify(end)}`);
          if (end.kind === 'ROLLED_BACK') process.deliver(0, () => this.putAside());
        },
        (error: unknown) => {
          const failure = asStorageError(error);
          if (failure === null) {
            time.fail(error instanceof Error ? error : new Error(String(error)));
            return;
          }
          // As the process does: it ends, and is started again.
          trace.add(name, `ended: ${failure.code}`);
          this.waitsForDisk = failure.code === 'FULL';
          process.deliver(0, () => this.crash());
        },
      );
    });
  }

  crash(): void {
    if (this.running === null) return;
    this.running.process.kill();
    this.disk.release();
    this.running = null;
  }

  stop(): void {
    const { running } = this;
    if (running?.agent === null || running?.process.state() !== 'RUNNING') return;
    const { agent, process } = running;
    const ended = (): void => {
      if (this.running === running) this.crash();
    };
    process.deliver(0, () => void agent.stop().then(ended, ended));
  }

  /** A copy of the directory, for `restore`; the node starts again at once. */
  image(): DiskImage {
    this.crash();
    const image = this.disk.image();
    this.start();
    return image;
  }

  /** Crashes the node and puts an older copy of its directory in place. */
  restore(image: DiskImage): void {
    this.crash();
    this.disk.restore(image);
    this.options.onWipe();
  }

  /** Crashes both nodes and gives each the other's directory. */
  swapDisks(other: FaultyNode): void {
    if (!(other instanceof SimulatedNode)) throw new Error('disks are swapped between simulated nodes');
    this.crash();
    other.crash();
    [this.disk, other.disk] = [other.disk, this.disk];
  }

  setDisk(condition: DiskCondition): void {
    this.diskCondition = condition;
    if (condition === 'WELL' && this.waitsForDisk) this.start();
  }

  /** True: its statistics are made up. */
  setLying(lies: boolean): void {
    this.lies = lies;
  }

  /** The directory was rolled back: what is in it is put aside, and the node starts over with its key (L4). */
  private putAside(): void {
    this.crash();
    const { privateKey } = this.disk;
    this.disk.wipe();
    this.disk.privateKey = privateKey;
    this.options.onWipe();
    this.start();
  }

  pause(): void {
    this.running?.process.pause();
  }

  resume(): void {
    this.running?.process.resume();
  }

  wipe(): void {
    this.crash();
    this.disk.wipe();
    this.options.onWipe();
  }

  /** The end of the run: nothing of the node is needed any more. */
  close(): void {
    this.crash();
    this.disk.close();
  }

  /** Why the process can't start, if it can't. */
  private openDirectory(engine: Engine, random: SeededRandom): DataDirectory | string {
    this.waitsForDisk = false;
    try {
      const opened = openDataDirectory({ nodeId: this.nodeId, meta: engine, keys: this.keys(), random });
      return opened.ok ? opened.value : opened.error.code;
    } catch (error) {
      const failure = asStorageError(error);
      if (failure === null) throw error;
      this.waitsForDisk = failure.code === 'FULL';
      return failure.code;
    }
  }

  private keys(): NodeKeyStore {
    return {
      load: () => this.disk.privateKey,
      save: (pem) => {
        this.disk.privateKey = pem;
      },
    };
  }
}
