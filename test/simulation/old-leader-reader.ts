import { getRowResponseSchema } from '../../shared/contracts/data/rows.ts';
import { encodedKey } from '../../shared/domain/ids.ts';
import { rangeContains } from '../../shared/domain/keys.ts';
import type { World } from './control-plane.ts';
import type { MetadataWatch } from './metadata-watch.ts';
import { NODE_PORT } from './nodes.ts';
import type { Pace } from './pace.ts';
import { clientNetwork } from './wire.ts';
import type { Workload } from './workload.ts';

/** Of a shard's last terms, how many are asked. */
const TERMS_ASKED = 3;
/** After a change of a leader, ms: two leases of profile fast, in which an old one may not know of it. */
const EAGER_FOR_MS = 6_000;
/** Long: a node that is frozen answers after its lease is over, and must not. */
const TIMEOUT_MS = 20_000;

export interface ReaderOptions {
  readonly name: string;
  readonly table: string;
  readonly keys: readonly string[];
  readonly pace: Pace;
  readonly dataToken: string;
}

/** Reads whatever nodes once led, directly and under their old epochs: what a zombie leader would answer, it answers here. */
export function startOldLeaderReader(
  world: World,
  metadata: MetadataWatch,
  workload: Workload,
  { name, table, keys, pace, dataToken }: ReaderOptions,
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
  let eagerUntilMs = -Infinity;
  const ask = (): void => {
    void readOnce();
    const isEager = world.time.nowMs() < eagerUntilMs;
    next = process.timers.after(random.between(...(isEager ? pace.betweenEagerReadsMs : pace.betweenReadsMs)), ask);
  };
  let next = process.timers.after(0, ask);
  metadata.onLeaderChange.push(() => {
    const wasEager = world.time.nowMs() < eagerUntilMs;
    eagerUntilMs = world.time.nowMs() + EAGER_FOR_MS;
    if (wasEager) return;
    next.cancel();
    next = process.timers.after(random.between(...pace.betweenEagerReadsMs), ask);
  });
}
