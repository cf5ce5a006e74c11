import type { OpenIntent } from '../domain/records.ts';
import { mapBounded } from '../domain/map-bounded.ts';
import type { Deps } from '../ports.ts';
import { ensureLeader, noteSweep, sweepFencedNode } from './fail-over.ts';
import { judgeNodes, moveLeadersOff } from './gray-failure.ts';
import { readAllLiveness } from './liveness-view.ts';
import { rebalanceIfDue } from './balance-tick.ts';
import { endMaintenance } from './node-care.ts';
import { continueOpen } from './operation-runs.ts';
import { SYSTEM } from './principal.ts';
import { restoreMinInSync } from './recovery-upkeep.ts';
import { rebalanceSettings } from './rebalance-config.ts';
import { repairIfDue } from './repair.ts';
import { releaseOrphans } from './shard-ownership.ts';
import { changeStructure } from './structure-tick.ts';
import { askToStepDown } from './transfer-leader.ts';

/**
 * The reconcile tick: picks up what a crash or a lost message left (DESIGN section 5): open fences, open intents, operations
 * whose execution is lost, shards whose owner has ended. Every part is idempotent; two ticks at once do no harm.
 */

/** Intents looked at in one tick. Transfers are few; a longer list is worked off by the following ticks. */
const INTENTS_PER_TICK = 200;
/** A transfer's own request asks the leader first; the reconciler repeats what is older than this. */
const INTENT_AGE_MS = 2_000;
/** An operation that saved nothing for this long may have lost its execution: it is looked at. Its waits and polls are shorter or find it running. */
const IDLE_AGE_MS = 10_000;
const CONCURRENCY = 8;

const BY = SYSTEM('reconciler');

export async function reconcileOnce(deps: Deps): Promise<void> {
  for (const [what, part] of Object.entries({
    sweepOpenFences,
    settleIntents,
    continueOperations,
    releaseOrphanedShards,
    endMaintenances,
    moveData,
    restoreRecovered,
    grayFailures,
    splitAndMerge,
  })) {
    try {
      await part(deps);
    } catch (error) {
      // One failing part never holds up the others; the next tick tries again.
      deps.log.warn('reconcile-part-failed', { what, message: String(error) });
    }
  }
}

/** E3: fences stay open until two successive sweeps find nothing. The detector sweeps too; this is for what it left. */
async function sweepOpenFences(deps: Deps): Promise<void> {
  const open = (await readAllLiveness(deps)).filter((item) => item.openFence !== null);
  await mapBounded(open, CONCURRENCY, async (item) => {
    const result = await sweepFencedNode(deps, BY, item);
    await noteSweep(deps, item, result.found === 0);
  });
}

/** E2: an intent ends by a receipt or by a fence of the leader; until then the leader is asked again. */
async function settleIntents(deps: Deps): Promise<void> {
  const page = await deps.records.query('openIntent', { partition: {}, order: 'forward', limit: INTENTS_PER_TICK });
  const nowMs = deps.clock.wallMs();
  const old = page.items.map((stored) => stored.value).filter((intent) => nowMs - intent.sinceMs >= INTENT_AGE_MS);
  await mapBounded(old, CONCURRENCY, (intent) => settleIntent(deps, intent));
}

async function settleIntent(deps: Deps, intent: OpenIntent): Promise<void> {
  const led = await ensureLeader(deps, BY, intent.shardId, null);
  if (!led.ok || led.value.shard.intent === null) return;
  await askToStepDown(deps, BY, led.value.shard);
}

/**
 * Operations that have not ended and whose execution was never started, or is gone: they go on in the next one. The execution's
 * name makes a second start harmless, and whoever raises `run` first starts it.
 */
async function continueOperations(deps: Deps): Promise<void> {
  await continueOpen(deps, BY, (operation, nowMs) => nowMs - operation.updatedAtMs >= IDLE_AGE_MS);
}

/** Shards that an operator recovered get their `min_in_sync` back. */
const restoreRecovered = (deps: Deps): Promise<void> => restoreMinInSync(deps, BY);

/** Slow nodes and full disks: judged by the newest statistics, and relieved of leaders. */
async function grayFailures(deps: Deps): Promise<void> {
  await judgeNodes(deps);
  await moveLeadersOff(deps, BY);
}

/** I-10: no lock outlives its operation. */
const releaseOrphanedShards = (deps: Deps): Promise<void> => releaseOrphans(deps, BY);

/** Shards that are too large, too busy, or cold; it can be switched off (configuration key `structure`). */
const splitAndMerge = (deps: Deps): Promise<void> => changeStructure(deps, BY);

const endMaintenances = (deps: Deps): Promise<void> => endMaintenance(deps, BY);

/** What the cluster does by itself about lost nodes and uneven load; it can be switched off (configuration key `rebalance`). */
async function moveData(deps: Deps): Promise<void> {
  const settings = await rebalanceSettings(deps);
  await repairIfDue(deps, BY, settings);
  await rebalanceIfDue(deps, BY, settings);
}
