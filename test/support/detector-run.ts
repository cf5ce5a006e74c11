import { nodeId } from '../../shared/domain/ids.ts';
import type { DetectorRecord } from '../../shared/domain/records.ts';
import type { Deps } from '../../shared/ports.ts';
import { runDetector } from '../../shared/usecases/detect-failures.ts';
import { heartbeat } from '../../shared/usecases/heartbeat.ts';
import { registerNode } from '../../shared/usecases/nodes.ts';
import type { CommittedWrite, InjectedError } from '../../shared/store/faults.ts';
import { VirtualTime, WALL_CLOCK_START_MS } from '../simulation/virtual-time.ts';
import type { SimulatedProcess } from '../simulation/virtual-time.ts';
import { evenShards, tiledTable } from './tiles.ts';
import { ADMIN, nodePrincipal, registrationOf, useCaseWorld } from './use-case-world.ts';

/** Nodes that do nothing but renew, and detector loops, all under one virtual clock over the embedded store. */
export interface DetectorRun {
  startDetector(options?: { runForMs?: number }): SimulatedProcess;
  stopNode(node: number): void;
  stopNodeAt(node: number, atMs: number): void;
  restartNode(node: number): Promise<void>;
  until(atMs: number): Promise<void>;
  /** Fences in order; `afterMs`: since the node stopped. */
  fences(): { node: string; atMs: number; afterMs: number }[];
  leaders(): Promise<string[]>;
  brake(): Promise<DetectorRecord['brake']>;
  detectorBeats(): number;
  logged(event: string): number;
  storeOutage(error: InjectedError): void;
  storeBack(): void;
  /** Every commit so far, for the checks of world-checks.ts. */
  commits(): readonly (readonly CommittedWrite[])[];
  close(): void;
}

/** `relay`: the relay in whose pack the leases are kept; each in its node's own item when missing. */
export async function detectorRun(options: { nodes: number; zones: number; relay?: string }): Promise<DetectorRun> {
  const time = new VirtualTime();
  const main = time.processEnvironment({ name: 'front' });
  const world = useCaseWorld({ clock: main.clock, timers: main.timers });
  const stoppedAt = new Map<number, number>();
  const processes = new Map<number, SimulatedProcess>();
  let incarnations = 0;

  const depsOf = (process: SimulatedProcess): Deps => ({ ...world.deps, clock: process.clock, timers: process.timers });

  const startNode = async (node: number): Promise<void> => {
    const incarnation = `inc-${node}-${incarnations++}`;
    const id = nodeId(`node-${node}`);
    const stored = (await world.deps.liveness.of([id])).get(id);
    const answer = await registerNode(world.deps, ADMIN, {
      params: {},
      query: {},
      body: {
        ...registrationOf(node),
        zone: 'abc'[(node - 1) % options.zones] ?? 'a',
        incarnation,
        ...(options.relay === undefined ? {} : { relay: options.relay }),
        ...(stored === undefined ? {} : { attestation: { node_epoch: stored.nodeEpoch, counter: stored.attestation } }),
      },
    });
    if (!answer.ok) throw new Error(`node-${node}: ${answer.error.message}`);
    const epoch = answer.value.node_epoch;
    const process = time.processEnvironment({ name: `node-${node}` });
    processes.set(node, process);
    stoppedAt.delete(node);
    void renew(node, epoch, incarnation, process);
  };

  const renew = async (node: number, epoch: number, incarnation: string, process: SimulatedProcess): Promise<void> => {
    for (let sequence = 1; ; sequence++) {
      try {
        await heartbeat(world.deps, nodePrincipal(node, epoch, incarnation), {
          params: { node_id: `node-${node}` },
          query: {},
          body: { node_epoch: epoch, incarnation, sequence, attestation: sequence },
        });
      } catch {
        // the store is out: the next beat tries again
      }
      await process.timers.sleep(1_000);
    }
  };

  for (let node = 1; node <= options.nodes; node++) await startNode(node);
  const leaders = Array.from({ length: options.nodes }, (_, i) => i + 1);
  await world.directory.append(
    tiledTable,
    evenShards(options.nodes * 2).map((shard, index) => {
      const nodes = [0, 1, 2].map((i) => leaders[(index + i) % leaders.length] ?? 1);
      const [first] = evenShards(1, nodes);
      if (first === undefined) throw new Error('no shard');
      const replicas = first.replicas.map((replica) => ({
        ...replica,
        replicaId: `${replica.replicaId}-${index}` as never,
      }));
      const [leader] = replicas;
      if (leader === undefined) throw new Error('no replica');
      return {
        ...shard,
        replicas,
        leader: { replicaId: leader.replicaId, nodeId: leader.nodeId, nodeEpoch: leader.nodeEpoch },
      };
    }),
    { principal: 'test', action: 'SHARD_CREATED' },
  );

  return {
    startDetector: (detectorOptions = {}) => {
      const process = time.processEnvironment({ name: 'detector' });
      void runDetector(depsOf(process), { runForMs: detectorOptions.runForMs ?? Number.POSITIVE_INFINITY });
      return process;
    },
    stopNode: (node) => {
      stoppedAt.set(node, time.nowMs());
      processes.get(node)?.kill();
    },
    stopNodeAt: (node, atMs) => {
      time.after(atMs - time.nowMs(), () => {
        stoppedAt.set(node, time.nowMs());
        processes.get(node)?.kill();
      });
    },
    restartNode: startNode,
    until: async (atMs) => {
      await time.run(atMs);
    },
    fences: () =>
      world.committed
        .flat()
        .filter(({ key, after }) => key.table === 'liveness' && after?.body['incarnation'] === null)
        // The own item of a packed lease has no incarnation either.
        .filter(({ after }) => after?.body['pack'] === null)
        .filter(({ before, after }) => before?.body['nodeEpoch'] !== after?.body['nodeEpoch'])
        .map(({ after }) => {
          const node = `${after?.body['nodeId'] as string}`;
          const atMs = Number(after?.body['fencedAtMs']) - WALL_CLOCK_START_MS;
          return { node, atMs, afterMs: atMs - (stoppedAt.get(Number(node.slice('node-'.length))) ?? 0) };
        }),
    leaders: async () => {
      const page = await world.directory.scan(tiledTable, { fromKey: '' as never, limit: 1000 });
      return page.shards.map(({ shard }) => shard.leader.nodeId);
    },
    brake: async () => (await world.records.get('detector', {}))?.value.brake ?? null,
    detectorBeats: () => world.committed.flat().filter(({ after }) => after !== null && 'beat' in after.body).length,
    logged: (event) => world.log.lines.filter((line) => line.event === event).length,
    storeOutage: (error) => world.faults.use(() => ({ refuse: error })),
    storeBack: () => world.faults.none(),
    commits: () => world.committed,
    close: () => world.close(),
  };
}
