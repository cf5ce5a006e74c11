import { nodeId, operationId } from '../../shared/domain/ids.ts';
import { RUN_STEPS_MAX } from '../../shared/domain/operation.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { changeOperation } from '../../shared/usecases/operation-runs.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { newNodeKey, nodeKeyToken, publicHalf } from '../functions/world.ts';
import { accessWorld } from './access-world.ts';
import type { AccessWorld } from './access-world.ts';

interface Command {
  readonly command_id: string;
  readonly type: string;
  readonly shard_id: string;
  readonly replica_id: string;
  readonly epoch: number;
  readonly generation: number;
}

interface Player {
  readonly id: string;
  readonly lease: { readonly node_epoch: unknown; readonly incarnation: unknown };
  readonly token: string;
  readonly storeUuid: string;
  sequence: number;
  acks: readonly object[];
  alive: boolean;
}

let world: AccessWorld;
let admin: string;
const players: Player[] = [];

async function join(id: string, zone: string): Promise<void> {
  const issued = await world.call('POST', '/cluster/join-tokens', { token: admin, body: {}, idempotencyKey: id });
  const answer = await world.call('POST', '/cluster/nodes/register', {
    token: issued['join_token'] as string,
    body: { node_id: id, host: '127.0.0.1', port: 7001, zone, public_key: publicHalf(key) },
  });
  const { node_epoch, incarnation, credential, store_uuid } = answer;
  players.push({
    id,
    lease: { node_epoch, incarnation },
    token: credential as string,
    storeUuid: store_uuid as string,
    sequence: 0,
    acks: [],
    alive: true,
  });
}
const key = newNodeKey();

/** A beat acknowledges what the beat before brought; a receipt is reported at once. */
async function beat(player: Player): Promise<void> {
  player.sequence += 1;
  const answer = await world.call('POST', `/cluster/nodes/${player.id}/heartbeat`, {
    token: player.token,
    body: {
      ...player.lease,
      sequence: player.sequence,
      attestation: player.sequence,
      ...(player.acks.length === 0 ? {} : { acks: player.acks }),
    },
  });
  const commands = answer['commands'] as Command[];
  const done = ({ command_id, ...of }: Command) => ({
    command_id,
    outcome: 'DONE',
    code: null,
    message: null,
    receipt:
      of.type === 'step_down'
        ? { shard_id: of.shard_id, replica_id: of.replica_id, epoch: of.epoch, generation: of.generation }
        : null,
  });
  player.acks = commands.filter(({ type }) => type !== 'step_down').map(done);
  const receipts = commands.filter(({ type }) => type === 'step_down').map(done);
  if (receipts.length === 0) return;
  await world.call('POST', `/cluster/nodes/${player.id}/reports`, {
    token: player.token,
    body: { ...player.lease, reports: receipts.map((receipt) => ({ type: 'command_ack', ...receipt })) },
  });
}

async function beats(): Promise<void> {
  for (const player of players) if (player.alive) await beat(player);
}

/** An execution waits by the clock between its steps, 1 s and more: milliseconds between two looks at it, and how many at most. */
const LOOK_MS = 20;
const LOOKS_MAX = 1_500;
const untilNextLook = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, LOOK_MS));

async function ended(operation: unknown): Promise<void> {
  for (let round = 0; round < LOOKS_MAX; round++) {
    await beats();
    const { status } = await world.call('GET', `/operations/${String(operation)}`, { token: admin });
    if (status === 'SUCCEEDED') return;
    await untilNextLook();
  }
  throw new Error('the operation did not end');
}

/** While it waits for nodes: its execution has used up its events, then it is paused and resumed. */
async function disturbed(id: string): Promise<void> {
  type Shown = Readonly<Record<string, unknown>>;
  const shown = async (wanted: (operation: Shown) => boolean, nodesBeat = true): Promise<void> => {
    for (let round = 0; round < LOOKS_MAX; round++) {
      if (wanted(await world.call('GET', `/operations/${id}`, { token: admin }))) return;
      if (nodesBeat) await beats();
      await untilNextLook();
    }
    throw new Error('the operation never came that far');
  };
  await shown(({ waiting_on }) => waiting_on !== null, false);
  const stored = (await world.deps.records.get('operation', { operationId: operationId(id) }))!;
  const used = { ...stored.value, runSteps: RUN_STEPS_MAX };
  expect((await changeOperation(world.deps, SYSTEM('operation'), stored, used, 'TEST')).ok).toBe(true);
  const control = (what: string) =>
    world.call('POST', `/operations/${id}/${what}`, { token: admin, idempotencyKey: `${what}-operation` });
  await shown(({ run }) => run === 2);
  await control('pause');
  await shown(({ status }) => status === 'PAUSED');
  await control('resume');
}

interface ShownShard {
  readonly shard_id: string;
  readonly leader: string;
  readonly replicas: readonly string[];
  readonly epoch: number;
  readonly generation: number;
  readonly replica_details: readonly {
    readonly replica_id: string;
    readonly node_id: string;
    readonly node_epoch: number;
  }[];
}
const shards = async (): Promise<readonly ShownShard[]> =>
  (await world.call('GET', '/shards', { token: admin }))['shards'] as ShownShard[];

const get = (path: string, query: Record<string, string> = {}) => world.call('GET', path, { token: admin, query });
const playerOf = (id: string): Player => players.find((player) => player.id === id)!;

/** A cluster's life, in which every function comes to do everything that it ever does. */
export async function clusterLife(): Promise<AccessWorld> {
  world = await accessWorld();
  admin = await world.deps.tokens.issue({ kind: 'admin', name: 'ann' }, 86_400_000);
  world.onPause = beats;
  for (const [index, zone] of ['a', 'b', 'c', 'a', 'b'].entries()) await join(`node-${index + 1}`, zone);

  await tableServes();
  await leaderMoves();
  await moveIsCalledBack();
  await limitsAreSetAndANodeLeaves();
  await nodesDie();
  await lostShardIsRecovered(playerOf('node-5'), playerOf('node-3'));
  const back = await copyIsMissedWhereItWas(playerOf('node-3'));
  await allLeave(back);
  return world;
}

async function tableServes(): Promise<void> {
  const created = await world.call('POST', '/tables', {
    token: admin,
    body: { table: 'cities', pre_split: ['d', 'h', 'm', 'r', 'u'], replication_factor: 3 },
    idempotencyKey: 'create',
  });
  await disturbed(String(created['operation_id']));
  await ended(created['operation_id']);

  for (const path of [
    '/cluster/nodes',
    '/cluster/nodes/node-1',
    '/cluster/health',
    '/cluster/endpoints',
    '/tables',
    '/tables/cities',
  ]) {
    await get(path);
  }
  for (const path of ['/config/replication', '/operations', '/healthz', '/openapi.json']) await get(path);
  await get('/audit', { entity: 'node:node-1' });
  await get('/routes/cities', { key: 'berlin' });
  await get('/routes/cities/changes', { start: 'latest' });
  await get('/decisions', { entity: 'node:node-1' });
  await world.callHot('routes', 'GET', '/routes/cities?key=berlin', admin);
  await world.call('POST', '/routes/cities/batch', { token: admin, body: { keys: ['berlin'] } });
  await world.call('POST', '/auth/token', { token: admin, body: { scope: 'data', tables: ['*'], access: 'read' } });
}

/** A leader moves: its receipt comes by a heartbeat while the call waits. */
async function leaderMoves(): Promise<void> {
  const [first] = await shards();
  await world.call('POST', `/shards/${first!.shard_id}/leader`, {
    token: admin,
    body: { new_leader_node_id: first!.replicas.find((replica) => replica !== first!.leader) },
    idempotencyKey: 'move',
  });
  await get(`/shards/${first!.shard_id}`);
}

/** A replica is to move, and is called back before it does. */
async function moveIsCalledBack(): Promise<void> {
  const [first] = await shards();
  const stranger = players.find(({ id }) => !first!.replicas.includes(id))!;
  const move = await world.call('POST', `/shards/${first!.shard_id}/move`, {
    token: admin,
    body: { target_node_id: stranger.id },
    idempotencyKey: 'move-replica',
  });
  const called = `/operations/${String(move['operation_id'])}`;
  await world.call('POST', `${called}/cancel`, { token: admin, idempotencyKey: 'cancel-move' });
  for (let round = 0; (await get(called))['status'] !== 'CANCELLED'; round++) {
    if (round === LOOKS_MAX) throw new Error('the move was not called back');
    await beats();
    await untilNextLook();
  }
}

/** Limits and the replication factor are set; a node joins, and leaves for good. */
async function limitsAreSetAndANodeLeaves(): Promise<void> {
  const set = (path: string, body: object) =>
    world.call('PUT', path, { token: admin, body, idempotencyKey: `set-${path.split('/').join('-')}` });
  await set('/config/rebalance', { moves_per_hour: 200 });
  await get('/config/rebalance');
  await set('/config/replication', { replication_factor: 4, dry_run: true });
  const factor = await world.call('PUT', '/config/replication', {
    token: admin,
    body: { replication_factor: 3 },
    idempotencyKey: 'set-factor',
  });
  await ended(factor['operation_id']);
  await join('node-6', 'c');
  players.pop(); // it is fenced, and beats no more
  const sixth = await world.call('DELETE', '/cluster/nodes/node-6', { token: admin, idempotencyKey: 'decommission' });
  await ended(sixth['operation_id']);
}

/** A node is fenced, and the loop that did it dies: the reconcile tick elects. */
async function nodesDie(): Promise<void> {
  const silent = players.find((player) => player.id === 'node-5')!;
  silent.alive = false;
  const liveness = await world.deps.records.get('liveness', { nodeId: nodeId(silent.id) });
  await fenceNode(world.deps, SYSTEM('detector'), liveness!.value);
  await world.runReconcile();

  // Another one dies while a loop runs; one leaves cleanly, and comes back by its own key.
  players.find((player) => player.id === 'node-4')!.alive = false;
  await world.runDetector();
  const leaving = players.find((player) => player.id === 'node-3')!;
  await beat(leaving);
  leaving.alive = false;
  await world.call('POST', '/cluster/nodes/node-3/release', { token: leaving.token, body: leaving.lease });
  await world.call('POST', '/cluster/nodes/node-3/reports', {
    token: leaving.token,
    body: {
      ...leaving.lease,
      reports: [
        { type: 'command_ack', command_id: 'cmd-gone', outcome: 'DONE', code: null, message: null, receipt: null },
      ],
    },
  });
  const nodes = await world.call('GET', '/cluster/nodes', {
    token: admin,
  });
  expect((nodes['nodes'] as { node_id: string; status: string }[]).map(({ status }) => status)).toEqual([
    'HEALTHY',
    'HEALTHY',
    'UNHEALTHY',
    'UNHEALTHY',
    'UNHEALTHY',
  ]);
}

/** A shard lost every replica in sync; a node with an older copy is back, and an operator makes it the leader. */
async function lostShardIsRecovered(silent: Player, leaving: Player): Promise<void> {
  const stored = await world.deps.records.get('liveness', { nodeId: nodeId(leaving.id) });
  await fenceNode(world.deps, SYSTEM('detector'), stored!.value);
  const stranded = (await shards()).find((shard) => shard.leader === leaving.id)!;
  const back = await world.call('POST', '/cluster/nodes/register', {
    token: nodeKeyToken(key, silent.id, world.clock.wallMs()),
    body: {
      node_id: silent.id,
      host: '127.0.0.1',
      port: 7001,
      zone: 'b',
      store_uuid: silent.storeUuid,
      attestation: { node_epoch: silent.lease.node_epoch, counter: silent.sequence },
    },
  });
  const lease = { node_epoch: back['node_epoch'], incarnation: back['incarnation'] };
  const older = {
    type: 'silent_leader',
    shard_id: stranded.shard_id,
    replica_id: stranded.replica_details.find(({ node_id }) => node_id === silent.id)!.replica_id,
    epoch: stranded.epoch,
    generation: stranded.generation,
    store_uuid: silent.storeUuid,
    log: { last_epoch: 1, last_seq: 5, intact: true },
  };
  const token = back['credential'] as string;
  await world.call('POST', `/cluster/nodes/${silent.id}/reports`, { token, body: { ...lease, reports: [older] } });
  const recover = (body: object, idempotencyKey: string) =>
    world.call('POST', '/recovery/unclean-elections', { token: admin, body, idempotencyKey });
  const { plans } = await recover({ dry_run: true, shard_id: stranded.shard_id }, 'plan');
  const recovered = await recover({ plans, acknowledge_data_loss: true }, 'recover');
  expect(recovered['recovered']).toEqual([expect.objectContaining({ leader: silent.id })]);
  await get('/recovery/shards');
  await world.runReconcile();
  await world.call('POST', `/cluster/nodes/${silent.id}/release`, { token, body: lease });
}

/** A node that left comes back. Its leader misses its copy there, which the table's record decides on. */
async function copyIsMissedWhereItWas(leaving: Player): Promise<Record<string, unknown>> {
  const rejoined = await world.call('POST', '/cluster/nodes/register', {
    token: nodeKeyToken(key, leaving.id, world.clock.wallMs()),
    body: {
      node_id: leaving.id,
      host: '127.0.0.1',
      port: 7001,
      zone: 'c',
      store_uuid: leaving.storeUuid,
      attestation: { node_epoch: leaving.lease.node_epoch, counter: leaving.sequence },
    },
  });

  const missing = (await shards()).flatMap((shard) =>
    shard.replica_details.filter(({ node_id }) => node_id === leaving.id).map((entry) => ({ shard, entry })),
  )[0]!;
  const leader = players.find(({ id }) => id === missing.shard.leader)!;
  const reported = await world.call('POST', `/cluster/nodes/${leader.id}/reports`, {
    token: leader.token,
    body: {
      ...leader.lease,
      reports: [
        {
          type: 'missing_replica',
          shard_id: missing.shard.shard_id,
          epoch: missing.shard.epoch,
          generation: missing.shard.generation,
          replica_id: missing.entry.replica_id,
          node_epoch: missing.entry.node_epoch,
          store_uuid: leaving.storeUuid,
        },
      ],
    },
  });
  expect(reported['results']).toEqual([expect.objectContaining({ outcome: 'APPLIED' })]);
  return rejoined;
}

/** All nodes leave: nothing is left to wait for. An operation whose start was lost is started by the tick. */
async function allLeave(rejoined: Record<string, unknown>): Promise<void> {
  await world.call('POST', '/cluster/nodes/node-3/release', {
    token: rejoined['credential'] as string,
    body: { node_epoch: rejoined['node_epoch'], incarnation: rejoined['incarnation'] },
  });
  for (const player of players.filter(({ alive }) => alive)) {
    player.alive = false;
    await world.call('POST', `/cluster/nodes/${player.id}/release`, { token: player.token, body: player.lease });
  }
  world.failNextStart();
  const deleted = await world.call('DELETE', '/tables/cities', { token: admin, idempotencyKey: 'delete' });
  world.clock.advance(60_000);
  await world.runReconcile();
  await ended(deleted['operation_id']);
}
