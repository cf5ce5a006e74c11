import { getRowResponseSchema } from '../../shared/contracts/data/rows.ts';
import { encodedKey } from '../../shared/domain/ids.ts';
import { rangeContains } from '../../shared/domain/keys.ts';
import type { World } from './control-plane.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import { NODE_PORT } from './nodes.ts';
import { clientNetwork } from './wire.ts';
import type { Workload } from './workload.ts';

/** Of a shard's last terms, how many are asked. */
const TERMS_ASKED = 3;
const BETWEEN_READS_MS = [20, 200] as const;
/** Long: a node that is frozen answers after its lease is over, and must not. */
const TIMEOUT_MS = 20_000;

export interface ReaderOptions {
  readonly name: string;
  readonly table: string;
  readonly keys: readonly string[];
  readonly dataToken: string;
}

/** Reads whatever nodes once led, directly and under their old epochs: what a zombie leader would answer, it answers here. */
export function startOldLeaderReader(
  world: World,
  metadata: MetadataWatch,
  workload: Workload,
  { name, table, keys, dataToken }: ReaderOptions,
): void {
  const process = world.time.processEnvironment({ name });
  const random = world.random.fork(name);
  const network = clientNetwork(world.network, { host: name, process });
  const readOnce = async (): Promise<void> => {
    const key = random.pick(keys);
    // Of the shards that ever held the key, the one that does now or, as often, another.
    const held = metadata.ranges.filter((range) => rangeContains(range, encodedKey(key)));
    const last = held.at(-1);
    if (last === undefined) return;
    const { shardId } = random.chance(0.5) ? last : random.pick(held);
    const led = random.pick((metadata.leaders.get(shardId) ?? []).slice(-TERMS_ASKED));
    const startMs = world.time.nowMs();
    const answer = await network.call({
      method: 'POST',
      url: `http://${led.nodeId}:${NODE_PORT}/data/get`,
      bearer: dataToken,
      body: { table, shard_id: shardId, epoch: led.epoch, key },
      timeoutMs: TIMEOUT_MS,
    });
    if (answer.kind !== 'ANSWERED' || answer.status !== 200) return;
    const { found, value } = getRowResponseSchema.parse(answer.body);
    workload.noteRead(name, key, found ? (value as string) : null, startMs);
  };
  const ask = (): void => {
    void readOnce();
    process.timers.after(random.between(...BETWEEN_READS_MS), ask);
  };
  process.deliver(0, ask);
}
