import { encodedKey, operationId, tableName } from '../../shared/domain/ids.ts';
import type { OperationId } from '../../shared/domain/ids.ts';
import { checkTransition } from '../../shared/domain/invariants.ts';
import { childOperationId } from '../../shared/domain/operation.ts';
import { checkOwner, OWNER_ENDED_MS_MAX } from '../../shared/domain/operation-invariants.ts';
import { claim, illegalChange, ownedState, release } from '../../shared/domain/ownership.ts';
import type { OwnedState } from '../../shared/domain/ownership.ts';
import type { OperationRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor, ShardState } from '../../shared/domain/shard.ts';
import { changeOperation } from '../../shared/usecases/operation-runs.ts';
import { listOperationParts, listOperations } from '../../shared/usecases/operations.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { reconcileOnce } from '../../shared/usecases/reconcile.ts';
import { claimShard, releaseShard } from '../../shared/usecases/shard-ownership.ts';
import { newOperationId, startOperation } from '../../shared/usecases/start-operation.ts';
import { createTable } from '../../shared/usecases/tables.ts';
import { ADMIN } from '../support/use-case-world.ts';
import { operationStory } from '../support/virtual-operations.ts';
import type { Operations } from '../support/virtual-operations.ts';

/** Structural ownership of shards (I-9, I-10), and the start of operations from a plan. */

const BY = SYSTEM('operation');
const ONE = operationId('op-one');
const TWO = operationId('op-two');
const changing = (id: OperationId): OwnedState => ({ kind: 'CHANGING_REPLICAS', operationId: id });

/** A story over a table of one shard. */
const withShard = (story: (operations: Operations, shard: ShardDescriptor) => Promise<void>): Promise<void> =>
  operationStory(async (operations) => {
    const { world } = operations;
    const created = await world.call('createTable', createTable, { body: { table: 'cities' } });
    if (!created.ok) throw new Error(created.error.message);
    await operations.idle(created.value.operation_id);
    const stored = await world.records.get('table', { table: tableName('cities') });
    const page = await world.directory.scan(stored!.value.tableId, { fromKey: encodedKey(''), limit: 1 });
    // What starts from here on is never carried out: only its record counts.
    Object.assign(world.deps.operations, { start: () => Promise.resolve({ executionArn: 'arn' }) });
    await story(operations, page.shards[0]!.shard);
  });

const rows = async ({ world }: Operations) =>
  (await world.records.query('ownedShard', { partition: {}, order: 'forward', limit: 10 })).items.map(
    ({ value }) => [value.shardId, value.operationId] as const,
  );

const record = (patch: Partial<OperationRecord>) => patch as OperationRecord;

test('claimed once, for one operation; given back by its owner only', () =>
  withShard(async (operations, shard) => {
    const { deps } = operations.world;
    const { shardId } = shard;
    const claimed = await claimShard(deps, BY, shardId, changing(ONE));
    expect(claimed).toMatchObject({ ok: true, value: { state: changing(ONE), generation: shard.generation + 1 } });
    expect(await rows(operations)).toEqual([[shardId, ONE]]);
    // Again: as it is, nothing written.
    expect(await claimShard(deps, BY, shardId, changing(ONE))).toEqual(claimed);
    expect(await claimShard(deps, BY, shardId, changing(TWO))).toMatchObject({
      ok: false,
      error: { kind: 'CONFLICT', code: 'SHARD_BUSY', detail: { operation_id: ONE, state: 'CHANGING_REPLICAS' } },
    });
    expect(await releaseShard(deps, BY, shardId, TWO)).toMatchObject({ ok: true, value: { state: changing(ONE) } });
    const released = await releaseShard(deps, BY, shardId, ONE);
    expect(released).toMatchObject({ ok: true, value: { state: { kind: 'ACTIVE' } } });
    expect(await releaseShard(deps, BY, shardId, ONE)).toEqual(released);
    expect(await rows(operations)).toEqual([]);
    expect(await claimShard(deps, BY, shardId, changing(TWO))).toMatchObject({ ok: true });
  }));

test('of two that claim at once one gets it', () =>
  withShard(async (operations, { shardId }) => {
    const { deps } = operations.world;
    const both = await Promise.all([ONE, TWO].map((id) => claimShard(deps, BY, shardId, changing(id))));
    expect(both.map(({ ok }) => ok).sort()).toEqual([false, true]);
  }));

test('a shard that is gone: claiming says so, giving back has nothing to do', () =>
  withShard(async ({ world: { deps } }) => {
    const gone = 'shard-gone' as ShardDescriptor['shardId'];
    expect(await claimShard(deps, BY, gone, changing(ONE))).toMatchObject({
      ok: false,
      error: { code: 'SHARD_NOT_FOUND' },
    });
    expect(await releaseShard(deps, BY, gone, ONE)).toEqual({ ok: true, value: null });
  }));

describe('the reconcile tick', () => {
  const started = async ({ world }: Operations): Promise<OperationRecord> => {
    const answer = await startOperation(world.deps, ADMIN, {
      type: 'create-table',
      input: {},
      progress: { total: 1, unit: 'replicas' },
    });
    if (!answer.ok) throw new Error(answer.error.kind);
    return answer.value;
  };
  const endedAs = async ({ world }: Operations, id: OperationId, patch: Partial<OperationRecord>) => {
    const stored = (await world.records.get('operation', { operationId: id }))!;
    expect((await changeOperation(world.deps, ADMIN, stored, { ...stored.value, ...patch }, 'TEST')).ok).toBe(true);
  };

  test.each<Partial<OperationRecord>>([
    { status: 'FAILED', error: { code: 'X', message: 'x' } },
    { status: 'SUCCEEDED', outcome: 'APPLIED' },
  ])('takes a shard back from an owner that ended: %j', (end) =>
    withShard(async (operations, { shardId }) => {
      const { world } = operations;
      const { operationId: id } = await started(operations);
      await claimShard(world.deps, BY, shardId, changing(id));
      await operations.wait(60_000);
      await reconcileOnce(world.deps);
      expect((await world.shard(shardId)).state).toEqual(changing(id)); // it has not ended
      await endedAs(operations, id, { status: 'RUNNING' });
      await endedAs(operations, id, end);
      await reconcileOnce(world.deps);
      expect((await world.shard(shardId)).state).toEqual({ kind: 'ACTIVE' });
      expect(await rows(operations)).toEqual([]);
    }),
  );

  test('takes it back from an owner that has no record, and removes a row that tells of no ownership', () =>
    withShard(async (operations, { shardId }) => {
      const { world } = operations;
      await claimShard(world.deps, BY, shardId, changing(ONE));
      const stray = { shardId: 'shard-gone' as typeof shardId, operationId: TWO, sinceMs: 0 };
      await world.records.observe({ kind: 'put', entity: 'ownedShard', value: stray, when: [{ kind: 'absent' }] });
      await operations.wait(60_000);
      await reconcileOnce(world.deps);
      expect((await world.shard(shardId)).state).toEqual({ kind: 'ACTIVE' });
      expect(await rows(operations)).toEqual([]);
    }));
});

describe('an operation from a plan', () => {
  const request = (shard: ShardDescriptor) => ({
    type: 'create-table' as const,
    input: {},
    plan: { moves: 1 },
    progress: { total: 1, unit: 'moves' },
    basedOn: [{ shardId: shard.shardId, generation: shard.generation }],
  });

  test('starts as long as what it was made from stands, and is refused after', () =>
    withShard(async ({ world }, shard) => {
      const { deps } = world;
      expect(await startOperation(deps, ADMIN, request(shard))).toMatchObject({
        ok: true,
        value: { status: 'PENDING', plan: { moves: 1 } },
      });
      await claimShard(deps, BY, shard.shardId, changing(ONE));
      expect(await startOperation(deps, ADMIN, request(shard))).toMatchObject({
        ok: false,
        error: { kind: 'PLAN_STALE', fault: { code: 'PLAN_STALE', detail: { shard_id: shard.shardId } } },
      });
      expect(await startOperation(deps, ADMIN, request(await world.shard(shard.shardId)))).toMatchObject({ ok: true });
    }));

  test('is refused when it moves between the look and the commit', () =>
    withShard(async ({ world: { deps, records } }, shard) => {
      const commit = records.commit.bind(records);
      let moved = false;
      Object.assign(records, {
        commit: async (change: Parameters<typeof commit>[0]) => {
          if (!moved && change.audit[0]?.action === 'OPERATION_CREATED') {
            moved = true;
            await claimShard(deps, BY, shard.shardId, changing(ONE));
          }
          return commit(change);
        },
      });
      expect(await startOperation(deps, ADMIN, request(shard))).toMatchObject({
        ok: false,
        error: { kind: 'PLAN_STALE' },
      });
    }));

  test('a part is started once under its parent, and listed with it', () =>
    withShard(async ({ world }, shard) => {
      const parent = newOperationId(world.deps);
      const child = childOperationId(parent, 3);
      const part = { ...request(shard), operationId: child, parentId: parent };
      const first = await startOperation(world.deps, BY, part);
      // The plan's shard has moved since: a repeat still finds what was started.
      await claimShard(world.deps, BY, shard.shardId, changing(child));
      expect(await startOperation(world.deps, BY, part)).toEqual(first);
      const listed = await world.call('listOperations', listOperations, { query: { parent_id: parent } });
      expect(listed.ok && listed.value.operations.map(({ operation_id }) => operation_id)).toEqual([child]);
    }));

  test('its parts are listed page by page', () =>
    withShard(async ({ world }, shard) => {
      const started = await startOperation(world.deps, ADMIN, request(shard));
      if (!started.ok) throw new Error(started.error.kind);
      const id = started.value.operationId;
      for (const number of [0, 1, 2, 10]) {
        const value = {
          operationId: id,
          number,
          value: { shard_id: shard.shardId },
          status: 'PLANNED' as const,
          childId: null,
          reason: null,
          updatedAtMs: world.deps.clock.wallMs(),
        };
        await world.records.observe({ kind: 'put', entity: 'operationPart', value, when: [{ kind: 'absent' }] });
      }
      const seen: number[] = [];
      const read = async (cursor?: string): Promise<string | null> => {
        const query = { limit: 3, ...(cursor === undefined ? {} : { cursor }) };
        const page = await world.call('listOperationParts', listOperationParts, {
          params: { operation_id: id },
          query,
        });
        if (!page.ok) throw new Error(page.error.message);
        seen.push(...page.value.parts.map(({ number }) => number));
        return page.value.next_cursor;
      };
      for (let next = await read(); next !== null;) next = await read(next);
      expect(seen).toEqual([0, 1, 2, 10]);
    }));
});

describe('decisions and checks', () => {
  const ACTIVE: ShardState = { kind: 'ACTIVE' };
  const deleting: ShardState = { kind: 'DELETING', operationId: ONE };
  const merging = { kind: 'MERGING', operationId: ONE, side: 'LEFT', otherShardId: 's' } as unknown as OwnedState;

  test.each<[string, ShardState, ShardState, boolean]>([
    ['claimed', ACTIVE, changing(ONE), true],
    ['given back', changing(ONE), ACTIVE, true],
    ['details of its own', merging, { ...merging, side: 'RIGHT' } as ShardState, true],
    ['taken over', changing(ONE), changing(TWO), false],
    ['turned into another kind', changing(ONE), merging, false],
    ['a deletion undone', deleting, ACTIVE, false],
    ['a deletion taken over', deleting, { ...deleting, operationId: TWO }, false],
  ])('a state is %s', (_what, before, after, legal) => {
    expect(illegalChange(before, after) === null).toBe(legal);
  });

  test('the check of I-9 finds an owner that was changed without giving back', () =>
    withShard(async (_operations, shard) => {
      const context = { liveness: () => null };
      const owned = claim(shard, changing(ONE));
      if (!owned.ok || owned.value === null) throw new Error('not claimed');
      const taken = { ...owned.value, state: changing(TWO), generation: (owned.value.generation + 1) as never };
      const invariants = (before: ShardDescriptor, after: ShardDescriptor) =>
        checkTransition(before, after, context).filter(({ invariant }) => invariant === 'I-9');
      expect(invariants(shard, owned.value)).toEqual([]);
      expect(invariants(owned.value, taken)).toHaveLength(1);
      expect(release(taken, ONE)).toBeNull();
      expect(release({ ...shard, state: deleting }, ONE)).toBeNull();
      expect(ownedState(owned.value, ONE, 'CHANGING_REPLICAS')).toEqual(changing(ONE));
      expect(() => ownedState(taken, ONE, 'CHANGING_REPLICAS')).toThrow('does not own');
    }));

  test('the check of I-10 finds a lock that outlived its operation', () =>
    withShard(async (_operations, shard) => {
      const owned = { ...shard, state: changing(ONE) };
      const ended = record({ status: 'FAILED', updatedAtMs: 1_000 });
      expect(checkOwner(shard, null, 0)).toEqual([]);
      expect(checkOwner(owned, record({ status: 'RUNNING', updatedAtMs: 0 }), 1e12)).toEqual([]);
      expect(checkOwner(owned, ended, 1_000 + OWNER_ENDED_MS_MAX)).toEqual([]);
      expect(checkOwner(owned, ended, 1_001 + OWNER_ENDED_MS_MAX)).toMatchObject([{ invariant: 'I-10' }]);
      expect(checkOwner(owned, null, 0)).toMatchObject([{ invariant: 'I-9' }]);
    }));
});
