import { ShardkeeperClient } from '../../client/client.ts';
import type { World } from './control-plane.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import type { Pace } from './pace.ts';
import { startOldLeaderReader } from './old-leader-reader.ts';
import { CONTROL_PLANE, clientNetwork } from './wire.ts';
import type { SimulatedProcess } from './virtual-time.ts';
import type { RowClient, Workload } from './workload.ts';

/** The clients of a run: production client library, each in a process of its own. */

export const CLIENT_DEADLINE_MS = 6_000;
/** A client that failed goes on after this pause. */
const RETRY_MS = 100;

export interface ClientsOptions {
  readonly table: string;
  readonly keys: readonly string[];
  readonly pace: Pace;
  /** Known once the cluster is set up. */
  readonly tokens: () => { readonly admin: string; readonly data: string };
}

export class Clients {
  private readonly world: World;
  private readonly metadata: MetadataWatch;
  private readonly workload: Workload;
  private readonly options: ClientsOptions;

  constructor(world: World, metadata: MetadataWatch, workload: Workload, options: ClientsOptions) {
    this.world = world;
    this.metadata = metadata;
    this.workload = workload;
    this.options = options;
  }

  /** Reads and writes until the workload is stopped. */
  startWorkload(): void {
    const { table, keys, tokens, pace } = this.options;
    for (let i = 0; i < pace.clients; i++) {
      const name = `client-${i + 1}`;
      const { process, client } = this.newClient(name);
      this.workload.start(name, process, client, { random: this.world.random.fork(`${name}/choices`), pace });
    }
    for (let i = 0; i < pace.readers; i++)
      startOldLeaderReader(this.world, this.metadata, this.workload, {
        name: `reader-${i + 1}`,
        table,
        keys,
        pace,
        dataToken: tokens().data,
      });
  }

  writeUntilAcknowledged(name: string, key: string, done: () => void): void {
    const { process, client } = this.newClient(name);
    const write = async (): Promise<void> => {
      while (!(await this.workload.write(name, client, key))) await process.timers.sleep(RETRY_MS);
      done();
    };
    process.deliver(0, () => void write());
  }

  readUntilAnswered(name: string, key: string, done: (value: string | null) => void): void {
    const { process, client } = this.newClient(name);
    const read = async (): Promise<void> => {
      for (;;) {
        try {
          done(await client.get(key));
          return;
        } catch {
          await process.timers.sleep(RETRY_MS);
        }
      }
    };
    process.deliver(0, () => void read());
  }

  /** Writes and then reads every key, each by a client of its own; answers how many are left. */
  writeAndReadAll(): () => number {
    let left = this.options.keys.length;
    for (const [index, key] of this.options.keys.entries()) {
      const name = `recovery-${index + 1}`;
      const { process, client } = this.newClient(name);
      const run = async (): Promise<void> => {
        while (!(await this.workload.write(name, client, key))) await process.timers.sleep(RETRY_MS);
        while (!(await this.workload.read(name, client, key))) await process.timers.sleep(RETRY_MS);
        left--;
      };
      process.deliver(0, () => void run());
    }
    return () => left;
  }

  private newClient(name: string): { process: SimulatedProcess; client: RowClient } {
    const { time, network, random } = this.world;
    const { table, tokens } = this.options;
    const process = time.processEnvironment({ name });
    const client = new ShardkeeperClient({
      url: `http://${CONTROL_PLANE.host}:${CONTROL_PLANE.port}`,
      token: tokens().admin,
      network: clientNetwork(network, { host: name, process }),
      environment: { clock: process.clock, timers: process.timers, random: random.fork(name) },
      deadlineMs: CLIENT_DEADLINE_MS,
    });
    const rows: RowClient = {
      put: async (key, value) => {
        await client.put(table, key, value);
      },
      get: async (key) => ((await client.get(table, key))?.value as string | undefined) ?? null,
    };
    return { process, client: rows };
  }
}
