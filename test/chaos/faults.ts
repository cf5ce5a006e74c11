import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LEASE_PROFILES } from '../../shared/domain/lease.ts';
import { LEASE, NODE_EXIT } from './cluster.ts';
import type { ChaosCluster, ChaosNode } from './cluster.ts';
import { copyContents, emptyDisk, fillDisk, swapContents } from './disks.ts';
import { CLIENTS, CONTROL_PLANE } from './network.ts';
import type { Disturbance, Effect } from './network.ts';
import type { FaultKind } from './plan.ts';

/** How each fault is injected and taken back. */

export interface FaultSite {
  readonly cluster: ChaosCluster;
  /** The node it is about; of the control plane's faults any. */
  readonly node: ChaosNode;
  /** Another one, which is busy with no other fault. */
  readonly other: ChaosNode;
  readonly lastsMs: number;
  /** Uniform in [0, 1). */
  readonly form: number;
  readonly say: (line: string) => void;
}

/** What a fault shows by itself is wrong: refusals that must be are checked where they happen. */
export class FaultFailure extends Error {
  override readonly name = 'FaultFailure';
}

interface Fault {
  /** Which nodes it takes: they get no other fault meanwhile. */
  readonly takes: 'NODE' | 'TWO_NODES' | 'CONTROL_PLANE';
  /** True if copies are lost by it: every shard must be fully replicated when it begins. */
  readonly losesCopies: boolean;
  readonly run: (site: FaultSite) => Promise<void>;
}

/** A refused process ends within this time from its start. */
const REFUSED_MS_MAX = 30_000;
/** A node whose directory is no longer the registered one is found out within this time: the lease of the other process runs out first. */
const FOUND_OUT_MS = 25_000;
const POLL_MS = 100;
const SLOW_MS_MAX = 400;

export const FAULTS: Readonly<Record<FaultKind, Fault>> = {
  kill_node: {
    takes: 'NODE',
    losesCopies: false,
    run: async ({ node, lastsMs }) => {
      await node.process.kill();
      await sleep(lastsMs);
      node.process.start();
    },
  },
  kill_control_plane: {
    takes: 'CONTROL_PLANE',
    losesCopies: false,
    run: async ({ cluster, lastsMs }) => {
      await cluster.controlPlane.kill();
      await sleep(lastsMs);
      cluster.controlPlane.start();
    },
  },
  freeze_node: { takes: 'NODE', losesCopies: false, run: ({ node, lastsMs }) => frozen(node.process, lastsMs) },
  freeze_control_plane: {
    takes: 'CONTROL_PLANE',
    losesCopies: false,
    run: ({ cluster, lastsMs }) => frozen(cluster.controlPlane, lastsMs),
  },
  full_disk: {
    takes: 'NODE',
    losesCopies: false,
    run: async ({ node, lastsMs }) => {
      fillDisk(node.dataDir);
      try {
        await sleep(lastsMs);
      } finally {
        emptyDisk(node.dataDir);
      }
    },
  },
  old_directory: { takes: 'NODE', losesCopies: true, run: oldDirectory },
  swapped_directories: { takes: 'TWO_NODES', losesCopies: false, run: swappedDirectories },
  duplicate_node: { takes: 'NODE', losesCopies: true, run: duplicateNode },
  slow_network: {
    takes: 'NODE',
    losesCopies: false,
    run: ({ cluster, node, lastsMs, form }) => {
      const effect: Effect = { kind: 'SLOW', delayMs: SLOW_MS_MAX * form };
      return disturbed(cluster, { on: (from, to) => from === node.nodeId || to === node.nodeId, effect }, lastsMs);
    },
  },
  cut_network: { takes: 'NODE', losesCopies: false, run: cutNetwork },
};

async function frozen(process: ChaosNode['process'], lastsMs: number): Promise<void> {
  process.freeze();
  try {
    await sleep(lastsMs);
  } finally {
    process.thaw();
  }
}

async function disturbed(cluster: ChaosCluster, disturbance: Disturbance, lastsMs: number): Promise<void> {
  const heal = cluster.network.disturb(disturbance);
  try {
    await sleep(lastsMs);
  } finally {
    heal();
  }
}

/** Cuts between a node and others: bytes that wait, or connections that break; both ways, or one way only. */
async function cutNetwork({ cluster, node, other, lastsMs, form, say }: FaultSite): Promise<void> {
  const { nodeId } = node;
  const CUTS: readonly (readonly [string, Disturbance['on']])[] = [
    ['from everybody', (from, to) => from === nodeId || to === nodeId],
    ['from the control plane', (from, to) => between(from, to, nodeId, CONTROL_PLANE)],
    ['towards the control plane', (from, to) => from === nodeId && to === CONTROL_PLANE],
    ['from the clients', (from, to) => between(from, to, nodeId, CLIENTS)],
    ['from what clients send it', (from, to) => from === CLIENTS && to === nodeId],
    ['towards its clients', (from, to) => from === nodeId && to === CLIENTS],
    [`from ${other.nodeId}`, (from, to) => between(from, to, nodeId, other.nodeId)],
    [`from what ${other.nodeId} sends it`, (from, to) => from === other.nodeId && to === nodeId],
    ['from its peers', (from, to) => (from === nodeId || to === nodeId) && isNode(from) && isNode(to)],
  ];
  const forms = CUTS.flatMap(([name, on]) => [
    { name: `${name}, bytes wait`, on, effect: { kind: 'STALLED' } as const },
    { name: `${name}, connections break`, on, effect: { kind: 'BROKEN' } as const },
  ]);
  const cut = forms[Math.floor(form * forms.length)];
  if (cut === undefined) throw new Error('a form lies in [0, 1)');
  say(`  ${nodeId} is cut off ${cut.name}`);
  await disturbed(cluster, cut, lastsMs);
}

const isNode = (party: string): boolean => party !== CONTROL_PLANE && party !== CLIENTS;
const between = (from: string, to: string, one: string, other: string): boolean =>
  (from === one && to === other) || (from === other && to === one);

/** The copies in it are older than what the node attested (L4): it must put them aside, or be refused. */
async function oldDirectory(site: FaultSite): Promise<void> {
  const { node, lastsMs } = site;
  await node.process.kill();
  await sleep(lastsMs);
  copyContents(node.oldDir, node.dataDir);
  node.process.start();
  await emptiedIfRefused(site);
}

/** Both processes must refuse the other's directory (L4, I-8). */
async function swappedDirectories({ cluster, node, other, lastsMs, say }: FaultSite): Promise<void> {
  const pair = [node, other];
  await Promise.all(pair.map(({ process }) => process.kill()));
  swapContents(node.dataDir, other.dataDir);
  for (const { process } of pair) process.start();
  const ends = await Promise.all(pair.map(({ process }) => process.endsWithin(REFUSED_MS_MAX)));
  await sleep(lastsMs);
  await Promise.all(pair.map(({ process }) => process.kill()));
  swapContents(node.dataDir, other.dataDir);
  for (const { process } of pair) process.start();
  const codes = ends.map((ended) => ended?.code ?? 'none');
  say(`  ${node.nodeId} and ${other.nodeId} ended with ${codes.join(' and ')}`);
  if (codes.some((code) => code !== NODE_EXIT.DIRECTORY))
    throw new FaultFailure(
      `${node.nodeId} and ${other.nodeId} were started with each other's directories and ended with ${codes.join(' and ')} instead of ${NODE_EXIT.DIRECTORY}; logs in ${cluster.folder}`,
    );
}

/** A second process over a copy of the directory, while the first one lives, is frozen beyond its lease, or is dead. */
async function duplicateNode(site: FaultSite): Promise<void> {
  const { cluster, node, lastsMs, form, say } = site;
  const folder = join(cluster.folder, 'duplicates', `${node.nodeId}-${Math.floor(performance.now())}`);
  mkdirSync(folder, { recursive: true });
  cluster.copyOf(node, folder);
  const duplicate = cluster.duplicateOf(node, folder);
  const first = form < 1 / 3 ? 'lives' : form < 2 / 3 ? 'is frozen' : 'is dead';
  say(`  the first ${node.nodeId} ${first} meanwhile`);
  const { leaseMs } = LEASE_PROFILES[LEASE];
  if (first === 'is frozen') node.process.freeze();
  if (first === 'is dead') await node.process.kill();
  duplicate.start();
  await sleep(first === 'lives' ? lastsMs : leaseMs + lastsMs);
  if (first === 'is frozen') node.process.thaw();
  if (first === 'is dead') node.process.start();
  // Both at once for a while.
  await sleep(lastsMs);
  await duplicate.kill();
  await emptiedIfRefused(site);
}

/**
 * Waits until the node is a member again. If it is refused, since another directory has registered after its own, its operator
 * does what the refusal says: starts it with an empty one.
 */
async function emptiedIfRefused({ cluster, node, say }: FaultSite): Promise<void> {
  const ended = await refusedWithin(cluster, node);
  if (ended === null) return;
  say(`  ${node.nodeId} is refused (exit status ${ended}): it starts with an empty directory`);
  if (ended !== NODE_EXIT.CONTROL_PLANE)
    throw new FaultFailure(`${node.nodeId} ended with ${ended} instead of ${NODE_EXIT.CONTROL_PLANE}`);
  for (;;) {
    try {
      await cluster.startEmpty(node);
      return;
    } catch {
      // The control plane is dead or frozen.
      await sleep(POLL_MS);
    }
  }
}

/** The exit status of the node's process when it ends by itself; null once it is registered and healthy. */
async function refusedWithin(cluster: ChaosCluster, node: ChaosNode): Promise<number | string | null> {
  const untilMs = performance.now() + FOUND_OUT_MS;
  const startedWallMs = Date.now();
  while (performance.now() < untilMs) {
    const ended = await node.process.endsWithin(POLL_MS);
    if (ended !== null) return ended.code ?? ended.signal ?? 'unknown';
    const member = await cluster.api.nodes().then(
      (nodes) => nodes.find(({ node_id }) => node_id === node.nodeId),
      () => undefined,
    );
    if (member?.status === 'HEALTHY' && Date.parse(member.last_heartbeat) > startedWallMs) break;
  }
  node.process.goesOn();
  return null;
}
