import { createAddressBook } from '../../shared/adapters/address-book.ts';
import { nodeId, tableName } from '../../shared/domain/ids.ts';
import { KEY_SPACE_START } from '../../shared/domain/keys.ts';
import type { NodeId } from '../../shared/domain/ids.ts';
import type { CommandAnswer, Deps } from '../../shared/ports.ts';
import { createLivenessReader } from '../../shared/store/liveness-reader.ts';
import { createRecords } from '../../shared/store/records.ts';
import { sweepFencedNode } from '../../shared/usecases/fail-over.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { batchRoutes, getRoute } from '../../shared/usecases/routes.ts';
import { createTable, deleteTable } from '../../shared/usecases/tables.ts';
import { setLeader } from '../../shared/usecases/transfer-leader.ts';
import { detectorRun } from '../support/detector-run.ts';
import { hastyTimers } from '../support/environment.ts';
import { operationsOf } from '../support/operations.ts';
import { ADMIN, registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

/** A function frozen for an hour and thawed with its caches: table records, the directory's root, addresses, a detector's observations. */

/**
 * Addresses are cached by node epoch (shared/adapters/address-book.ts): that of a replica which its node's later registration voided
 * may be the one of before. It serves nobody then; those of leaders and IN_SYNC replicas must be right.
 */
const withoutHints = (answers: unknown[]): unknown =>
  JSON.parse(
    JSON.stringify(answers, (_key, value: unknown) => {
      const replica = value as { sync_status?: string } | null;
      if (replica?.sync_status === undefined || replica.sync_status === 'IN_SYNC') return value;
      return { ...replica, host: 'any', port: 0 };
    }),
  );

describe('routes from a thawed function are those of a cold one', () => {
  let world: UseCaseWorld;
  let operations: ReturnType<typeof operationsOf>;
  let frozen: Deps;
  const KEYS = ['a', 'b', 'gg', 'h', 'm', 'pp', 'q', 'z'];

  /** Dependencies of another warm function over the same store. */
  const newFunction = (): Deps => {
    const { store, clock, random } = world;
    const records = createRecords(store, { clock, random });
    return {
      ...world.deps,
      records,
      directory: world.newDirectory(),
      liveness: createLivenessReader(records),
      addresses: createAddressBook({ records }),
    };
  };
  const routesOf = async (deps: Deps, keys: readonly string[] = KEYS): Promise<unknown[]> => {
    const answers: unknown[] = [];
    for (const key of keys)
      answers.push(await getRoute(deps, ADMIN, { params: { table: 'rows' }, query: { key }, body: undefined }));
    answers.push(
      await batchRoutes(deps, ADMIN, { params: { table: 'rows' }, query: {}, body: { from_key: null, limit: 100 } }),
    );
    return answers;
  };
  const expectThawedToBeRight = async (keys?: readonly string[]): Promise<void> => {
    const cold = await routesOf(newFunction(), keys);
    expect(withoutHints(await routesOf(frozen, keys))).toEqual(withoutHints(cold));
  };
  const create = async (body: Omit<Parameters<typeof createTable>[2]['body'], 'table'>): Promise<void> => {
    const answer = await world.call('createTable', createTable, { body: { table: 'rows', ...body } });
    if (!answer.ok) throw new Error(answer.error.message);
    expect(await operations.ended(answer.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
  };
  const remove = async (): Promise<void> => {
    const answer = await world.call('deleteTable', deleteTable, { params: { table: 'rows' } });
    if (!answer.ok) throw new Error(answer.error.message);
    expect(await operations.ended(answer.value.operation_id)).toMatchObject({ status: 'SUCCEEDED' });
  };

  beforeEach(async () => {
    world = useCaseWorld({ timers: hastyTimers });
    operations = operationsOf(world);
    world.answer((draft): CommandAnswer => {
      const { epoch, generation } = draft.shard;
      return { outcome: 'DONE', receipt: draft.type === 'step_down' ? { epoch, generation } : null };
    });
    await registered(world, 1, 2, 3, 4);
    await create({ pre_split: ['g', 'p'] });
    frozen = newFunction();
    await routesOf(frozen); // its caches are warm now, and it freezes
  });
  afterEach(async () => {
    await operations.stop();
    world.close();
  });

  test('leaders were transferred and failed over, a node came back under another address', async () => {
    const table = await world.records.get('table', { table: tableName('rows') });
    if (table === null) throw new Error('no table');
    const { shards } = await world.directory.scan(table.value.tableId, { fromKey: KEY_SPACE_START, limit: 10 });
    const moved = shards[0]!.shard;
    const target = moved.replicas.find(({ replicaId }) => replicaId !== moved.leader.replicaId)!;
    await world.call('setLeader', setLeader, {
      params: { shard_id: moved.shardId },
      body: { new_leader_node_id: target.nodeId },
    });
    await moveAddress(target.nodeId);
    await expectThawedToBeRight();
  });

  test('the table was deleted', async () => {
    await remove();
    expect(await routesOf(frozen, ['a'])).toEqual([
      expect.objectContaining({ ok: false, error: expect.objectContaining({ code: 'TABLE_NOT_FOUND' }) as unknown }),
      expect.objectContaining({ ok: false, error: expect.objectContaining({ code: 'TABLE_NOT_FOUND' }) as unknown }),
    ]);
  });

  test('the table was made anew, with other bounds', async () => {
    await remove();
    await create({ pre_split: ['b', 'h', 'q', 'z'] });
    await expectThawedToBeRight();
  });

  test('the table was made anew with many pages, and back with one', async () => {
    await remove();
    await create({ pre_split: Array.from({ length: 150 }, (_, index) => `k${String(index).padStart(4, '0')}`) });
    await expectThawedToBeRight([...KEYS, 'k0001', 'k0100', 'k0149x']);
    frozen = newFunction();
    await routesOf(frozen, ['k0001', 'k0100', 'k0149x']);
    await remove();
    await create({});
    await expectThawedToBeRight(['a', 'k0001', 'k0100', 'z']);
  });

  test('the table was made anew with another key type: keys are judged by the new one', async () => {
    await remove();
    await create({ key_type: 'int64', pre_split: ['-5', '10'] });
    await expectThawedToBeRight(['-6', '0', '10', 'text']);
    frozen = newFunction();
    await routesOf(frozen, ['-6', '0']);
    await remove();
    await create({ pre_split: ['g'] });
    // Not an integer, so refused by the key type of old.
    await expectThawedToBeRight(['text', 'a']);
  });

  /** The node is fenced, its shards fail over, and it registers again on another port; then it leads again. */
  const moveAddress = async (id: NodeId): Promise<void> => {
    const number = Number(id.slice('node-'.length));
    const fenced = await fenceNode(world.deps, SYSTEM('detector'), await world.liveness(number));
    if (fenced === null) throw new Error('not fenced');
    await sweepFencedNode(world.deps, SYSTEM('detector'), fenced);
    const answer = await world.call('registerNode', registerNode, {
      body: {
        node_id: id,
        host: '127.0.0.2',
        port: 9_000,
        zone: `z${number}`,
        incarnation: 'inc-moved',
        store_uuid: `store-${number}`,
      },
    });
    expect(answer.ok).toBe(true);
    expect((await world.records.get('node', { nodeId: nodeId(id) }))?.value.host).toBe('127.0.0.2');
  };
});

test('a detector loop frozen past its planned end does nothing when it thaws: no fence, no beat, no brake (L2)', async () => {
  const run = await detectorRun({ nodes: 5, zones: 3 });
  try {
    const frozen = run.startDetector({ runForMs: 30_000 });
    await run.until(5_000);
    run.startDetector();
    await run.until(10_000);
    frozen.pause();
    run.stopNodeAt(1, 20_000);
    await run.until(119_000);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1']);
    const beats = run.detectorBeats();
    frozen.resume();
    await run.until(129_000);
    expect(run.fences().map(({ node }) => node)).toEqual(['node-1']);
    // One loop's beats, one a second.
    expect(run.detectorBeats() - beats).toBeLessThanOrEqual(11);
    expect(await run.brake()).toBeNull();
  } finally {
    run.close();
  }
});
