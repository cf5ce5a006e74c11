import type { NewTable } from '../../shared/domain/create-table.ts';
import type { NodeId } from '../../shared/domain/ids.ts';
import type { PlacementCandidate } from '../../shared/domain/placement.ts';
import { leaderRank, ruleFor } from '../../shared/domain/rebalance/rules.ts';
import type { PlacementRule } from '../../shared/domain/rebalance/rules.ts';
import type { Deps } from '../../shared/ports.ts';
import { readConditions } from '../../shared/usecases/gray-failure.ts';
import { placementOf } from '../../shared/usecases/node-placement.ts';
import { mayHold, placementRules } from '../../shared/usecases/placement-config.ts';
import { nodeUse } from '../../shared/usecases/replica-target.ts';
import { liveNodes } from '../table-shards.ts';

/** The nodes on which a new table may be placed. */

/** Nodes that the placement of one table considers, least loaded first: keeps the plan's item small at 10,000 nodes; rebalancing spreads further. */
const CANDIDATES_MAX = 2_000;
const NODE_PAGE = 1000;
const NODE_PAGES_MAX = 100;
const REPLICA_PAGE = 1000;
/** Pages of replica pointers counted for a node's load; a node beyond 100,000 replicas counts as that loaded. */
const REPLICA_PAGES_MAX = 100;

type Member = Omit<PlacementCandidate, 'replicas' | 'leaders'>;

/** Live members that take replicas of the table by its placement rule, are not cordoned and have room, with their load, least loaded first. */
export async function placementCandidates(
  deps: Deps,
  { table, replicationFactor }: Pick<NewTable, 'table' | 'replicationFactor'>,
): Promise<PlacementCandidate[]> {
  const members = await membersFor(deps, ruleFor((await placementRules(deps)).rules, table));
  const ids = members.map(({ nodeId }) => nodeId);
  const [live, use, conditions] = await Promise.all([liveNodes(deps, ids), nodeUse(deps, ids), readConditions(deps)]);
  const full = new Set(conditions.filter(({ disk }) => disk === 'FULL').map(({ nodeId }) => nodeId));
  const slow = new Set(conditions.filter(({ pace }) => pace === 'SLOW').map(({ nodeId }) => nodeId));
  const able = members.filter(
    ({ nodeId }) => live.has(nodeId) && !full.has(nodeId) && (use.get(nodeId)?.freeBytes ?? Infinity) > 0,
  );
  // A node that is slow against its peers takes nothing new, as long as the others are as many and in as many zones as the copies need.
  const quick = able.filter(({ nodeId }) => !slow.has(nodeId));
  const isEnough = quick.length >= replicationFactor && zones(quick) >= Math.min(replicationFactor, zones(able));
  const candidates: PlacementCandidate[] = [];
  for (const member of isEnough ? quick : able)
    candidates.push({ ...member, replicas: await replicasHeld(deps, member.nodeId), leaders: 0 });
  const held = ({ replicas, weight = 1 }: PlacementCandidate): number => replicas / weight;
  candidates.sort((a, b) => held(a) - held(b) || (a.nodeId < b.nodeId ? -1 : 1));
  return candidates.slice(0, CANDIDATES_MAX);
}

const zones = (members: readonly Member[]): number => new Set(members.map(({ zone }) => zone)).size;

async function membersFor(deps: Deps, rule: PlacementRule): Promise<readonly Member[]> {
  const members: Member[] = [];
  let after: string | undefined;
  for (let page = 0; page < NODE_PAGES_MAX; page++) {
    const answer = await deps.records.query('node', {
      partition: {},
      order: 'forward',
      limit: NODE_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    for (const { value } of answer.items) {
      if (!mayHold(rule, value)) continue;
      const { nodeId, zone } = value;
      members.push({ nodeId, zone, weight: placementOf(value).capacityWeight, leaderRank: leaderRank(rule, value) });
    }
    if (answer.next === null) break;
    after = answer.next;
  }
  return members;
}

async function replicasHeld(deps: Deps, id: NodeId): Promise<number> {
  let count = 0;
  let after: string | undefined;
  for (let page = 0; page < REPLICA_PAGES_MAX; page++) {
    const answer = await deps.directory.replicasOn(id, {
      limit: REPLICA_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    count += answer.replicas.length;
    if (answer.next === null) break;
    after = answer.next;
  }
  return count;
}
