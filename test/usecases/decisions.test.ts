import {
  DECISION_CHARS_MAX,
  DECISION_REJECTED_MAX,
  decisionRecord,
  replayElection,
} from '../../shared/domain/decision.ts';
import type { ElectionInputs } from '../../shared/domain/decision.ts';
import { nodeId, replicaId, shardId } from '../../shared/domain/ids.ts';
import type { DecisionRecord } from '../../shared/domain/records.ts';
import { collect, nothingSequenced } from '../../shared/runtime/feed-stream.ts';
import { listDecisions, noteRefusal } from '../../shared/usecases/decisions.ts';
import { sweepFencedNode } from '../../shared/usecases/fail-over.ts';
import { sequence } from '../../shared/usecases/feed.ts';
import { fenceNode } from '../../shared/usecases/fence-node.ts';
import { SYSTEM } from '../../shared/usecases/principal.ts';
import { startTransfer } from '../../shared/usecases/transfer-leader.ts';
import { evenShards, tiledTable } from '../support/tiles.ts';
import { registered, useCaseWorld } from '../support/use-case-world.ts';
import type { UseCaseWorld } from '../support/use-case-world.ts';

/** The journal: what was decided, of what, and that it can be decided again. */

const BY = SYSTEM('detector');
const SHARDS = 20;

describe('the journal of decisions', () => {
  let world: UseCaseWorld;
  beforeEach(async () => {
    world = useCaseWorld();
    await registered(world, 1, 2, 3);
    await world.directory.append(tiledTable, evenShards(SHARDS), { principal: 'test', action: 'SHARD_CREATED' });
  });
  afterEach(() => world.close());

  const failOver = async (node: number) => {
    const fenced = await fenceNode(world.deps, BY, await world.liveness(node));
    if (fenced === null) throw new Error('the fence was refused');
    return sweepFencedNode(world.deps, BY, fenced);
  };
  const list = async (query: Parameters<typeof listDecisions>[2]['query']) => {
    const answer = await world.call('listDecisions', listDecisions, { query });
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value;
  };
  const kept = async (shard: string): Promise<readonly DecisionRecord[]> => {
    const { items } = await world.records.query('decision', {
      partition: { entity: `shard:${shard}` },
      order: 'forward',
      limit: 100,
    });
    return items.map(({ value }) => value);
  };
  const numbered = async (): Promise<void> => {
    const collected = nothingSequenced();
    for (const writes of world.committed)
      for (const { key, before, after } of writes)
        if (key.table === 'events' && before === null && after !== null) collect(collected, key, after.body);
    await sequence(world.deps, collected);
  };
  const shards = Array.from({ length: SHARDS }, (_, index) => `shard-${String(index).padStart(7, '0')}`);

  test('an election stands there with its inputs, and they elect the same leader again', async () => {
    await failOver(1);
    world.clock.advance(1_000);
    await failOver(2);
    let replayed = 0;
    for (const shard of shards) {
      for (const { code, inputs, outcome } of await kept(shard)) {
        if (code !== 'ELECTED') continue;
        const again = replayElection(inputs as unknown as ElectionInputs);
        expect(again).toMatchObject({ ok: true });
        if (!again.ok) continue;
        expect({ leader: again.value.shard.leader.nodeId, epoch: again.value.shard.epoch }).toEqual(outcome);
        replayed += 1;
        // The last one is what the directory holds, to the letter.
        const present = await world.shard(shard);
        if (again.value.shard.epoch === present.epoch) expect(again.value.shard).toEqual(present);
      }
    }
    expect(replayed).toBeGreaterThanOrEqual(SHARDS);
  });

  test('two leaders to choose from: the drawn numbers decide the replay too', async () => {
    await failOver(1);
    const leaders = new Set<string>();
    for (const shard of shards) {
      const [decision] = await kept(shard);
      const inputs = decision!.inputs as unknown as ElectionInputs;
      expect(inputs.drawn).toHaveLength(2);
      leaders.add((await world.shard(shard)).leader.nodeId);
      const other = replayElection({ ...inputs, drawn: inputs.drawn.map((drawn) => 1 - drawn - 1e-9) });
      expect(other.ok && other.value.shard.leader.nodeId).not.toBe((await world.shard(shard)).leader.nodeId);
      if (leaders.size > 1) break;
    }
    expect(leaders.size).toBeGreaterThan(1);
  });

  test('nobody to elect: who was rejected and why, once a minute', async () => {
    await failOver(1);
    await failOver(2);
    await failOver(3);
    const fenced = await world.liveness(3);
    for (let sweep = 0; sweep < 5; sweep++) {
      await sweepFencedNode(world.deps, BY, fenced);
      world.clock.advance(1_000);
    }
    const refusals = (await list({ entity: `shard:${shards[0]}`, code: 'NO_CANDIDATE' })).decisions;
    expect(refusals).toHaveLength(1);
    expect(refusals[0]!.rejected).toContainEqual({ candidate: 'node-3', code: 'ENTRY_VOID' });
    const again = replayElection(refusals[0]!.inputs as unknown as ElectionInputs);
    expect(again).toMatchObject({ ok: false, error: { code: 'NO_CANDIDATE' } });
    world.clock.advance(60_000);
    await sweepFencedNode(world.deps, BY, fenced);
    expect((await list({ entity: `shard:${shards[0]}`, code: 'NO_CANDIDATE' })).decisions).toHaveLength(2);
  });

  test('a transfer that is refused, and one that is begun', async () => {
    const id = shardId(shards[0]!);
    const { replicas } = await world.shard(id);
    world.answer(() => ({ outcome: 'QUEUED' }));
    await fenceNode(world.deps, BY, await world.liveness(3));
    await startTransfer(world.deps, BY, id, replicas.find((replica) => replica.nodeId === 'node-3')!.replicaId);
    await startTransfer(world.deps, BY, id, replicas.find((replica) => replica.nodeId === 'node-2')!.replicaId);
    const { decisions } = await list({ entity: `shard:${id}` });
    expect(decisions.map(({ kind, code }) => `${kind} ${code}`).toSorted()).toEqual([
      'TRANSFER REPLICA_NOT_IN_SYNC',
      'TRANSFER WRITE_INTENT',
    ]);
  });

  test('all of them, newest first, by code and time, a page at a time', async () => {
    await failOver(1);
    await numbered();
    const whole = await list({ limit: 100 });
    expect(whole.decisions.length).toBeGreaterThanOrEqual(SHARDS / 3);
    const paged: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      paged.push(...page.decisions.map(({ decision_id, entity }) => `${entity} ${decision_id}`));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(paged).toEqual(whole.decisions.map(({ decision_id, entity }) => `${entity} ${decision_id}`));
    expect(new Set(paged).size).toBe(paged.length);
    expect((await list({ code: 'NO_CANDIDATE' })).decisions).toEqual([]);
    expect((await list({ since: '2100-01-01T00:00:00Z' })).decisions).toEqual([]);
    expect(await world.call('listDecisions', listDecisions, { query: { cursor: 'eA' } })).toMatchObject({
      ok: false,
      error: { field: 'cursor' },
    });
  });

  test('the journal being away holds nothing up', async () => {
    world.faults.use((call) => (call.method === 'write' ? { refuse: 'UNAVAILABLE' } : null));
    await noteRefusal(world.deps, BY, {
      entity: 'cluster',
      kind: 'BRAKE',
      code: 'BRAKE_ENGAGED',
      inputs: null,
      rejected: [],
      outcome: null,
    });
    expect(world.log.lines.map(({ event }) => event)).toContain('decision-not-noted');
  });
});

test('a record is bounded, and says what it left out', () => {
  const rejected = Array.from({ length: 5_000 }, (_, node) => ({
    candidate: nodeId(`node-${node}`),
    code: 'NODE_FULL',
  }));
  const record = decisionRecord(
    {
      entity: `shard:${replicaId('s')}`,
      kind: 'MOVE',
      code: 'X',
      inputs: { text: 'x'.repeat(DECISION_CHARS_MAX) },
      rejected,
      outcome: null,
    },
    { decisionId: 'dec-1', principal: 'test', atMs: 0 },
  );
  expect(record.inputs).toEqual({ left_out: 'TOO_LARGE', characters: DECISION_CHARS_MAX + 11 });
  expect(record.rejected).toHaveLength(DECISION_REJECTED_MAX);
});
