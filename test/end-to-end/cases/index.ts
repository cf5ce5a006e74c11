import type { Case } from '../case.ts';
import { badInput } from './bad-input.ts';
import { config } from './config.ts';
import { dataTokens } from './data-tokens.ts';
import { deleteTable } from './delete-table.ts';
import { discovery } from './discovery.ts';
import { doubleLeaders } from './double-leaders.ts';
import { failover } from './failover.ts';
import { frozenLeader } from './frozen-leader.ts';
import { leaderTransfer } from './leader-transfer.ts';
import { merges } from './merges.ts';
import { moves } from './moves.ts';
import { nodes } from './nodes.ts';
import { operationControl } from './operation-control.ts';
import { placement } from './placement.ts';
import { publicCalls } from './public.ts';
import { routeChanges } from './route-changes.ts';
import { rows } from './rows.ts';
import { runnerRestart } from './runner-restart.ts';
import { splits } from './splits.ts';
import { structureRefusals } from './structure-refusals.ts';
import { tables } from './tables.ts';
import { tokens } from './tokens.ts';
import { decommission, quietTick, waves } from './waves.ts';

/** The story in its order: a file for each chapter. A new call or operation adds its file here, before `failover` if it needs all nodes. */
export const cases: readonly Case[] = [
  ...publicCalls,
  ...tokens,
  ...badInput,
  ...nodes,
  ...discovery,
  ...config,
  ...quietTick,
  ...tables,
  ...rows,
  ...dataTokens,
  ...leaderTransfer,
  ...structureRefusals,
  ...moves,
  ...operationControl,
  ...placement,
  ...waves,
  ...routeChanges,
  ...splits,
  ...merges,
  ...failover,
  ...frozenLeader,
  ...runnerRestart,
  ...decommission,
  ...doubleLeaders,
  ...deleteTable,
];
