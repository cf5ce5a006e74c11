import type { WireDescriptor } from '../../shared/contracts/node/descriptor.ts';
import type { ReplicaMeta } from '../engine/types.ts';
import { asStorageError } from '../engine/storage-error.ts';
import { BackgroundTurns } from './background-turns.ts';
import { spawn } from './context.ts';
import type { HostContext } from './context.ts';
import type { Leadership } from './leadership.ts';

/** Keys that the last, exact part of a search looks at one by one before it pauses. */
const SINGLE_KEYS_PER_TURN = 16;
/** Places remembered of a pass; beyond that every second one is forgotten, and steps are twice as long. */
const PLACES_MAX = 4_096;
/** Between two searches for one shard, ms: a report that was lost is made again. */
const RETRY_MS = 1_000;

/** First key of a step of the pass, and the bytes before it. */
interface Place {
  readonly from: string;
  readonly bytesBefore: number;
}

const above = (key: string): string => `${key}\u0000`;

/**
 * The leader's part in a split without a key (S1): finds the middle of its rows by bytes, in two passes over them, a little at a
 * time while it serves, and proposes it. Writes meanwhile move the middle a little; the key stays one that divides the rows seen.
 */
export class SplitKeySearch {
  private readonly context: HostContext;
  /** Searches under way, or made a moment ago: by operation. */
  private readonly notBeforeMs = new Map<string, number>();

  constructor(context: HostContext) {
    this.context = context;
  }

  /** To be called now and then by a leader that serves. */
  consider(leadership: Leadership): void {
    const { env } = this.context;
    const { state, shard_id: shardId } = leadership.descriptor();
    if (state.kind !== 'SPLITTING' || state.split_key !== null) {
      this.notBeforeMs.delete(shardId);
      return;
    }
    if (env.clock.monotonicMs() < (this.notBeforeMs.get(shardId) ?? 0)) return;
    this.notBeforeMs.set(shardId, Infinity);
    spawn(env, 'find a split key', this.propose(leadership, state.operation_id));
  }

  private async propose(leadership: Leadership, operationId: string): Promise<void> {
    const { env, reporter } = this.context;
    try {
      const key = await this.find(leadership);
      if (key === undefined || !wanted(leadership.descriptor(), operationId) || !leadership.entitled()) return;
      const { shard_id, epoch, generation } = leadership.descriptor();
      const report = { type: 'split_key' as const, shard_id, epoch, generation, operation_id: operationId };
      const outcome = await reporter.report({ ...report, split_key: key });
      if (outcome.ok && outcome.value.descriptor !== null) this.context.adopt(outcome.value.descriptor);
    } catch (error) {
      const storage = asStorageError(error);
      if (storage === null) throw error;
      env.log.error('no split key', { shard: leadership.shardId, error: storage.message });
    } finally {
      this.notBeforeMs.set(leadership.shardId, env.clock.monotonicMs() + RETRY_MS);
    }
  }

  /** Null: no key leaves rows on both sides. Undefined: the term or the replica ended meanwhile. */
  private async find(leadership: Leadership): Promise<string | null | undefined> {
    const pass = await this.measureAll(leadership);
    if (pass === undefined) return undefined;
    const { places, bytes } = pass;
    // The step in which the middle lies, and from there key by key.
    const step = places.findLast((place) => place.bytesBefore <= bytes / 2);
    return step === undefined ? null : this.refine(leadership, step, bytes);
  }

  private async measureAll(leadership: Leadership): Promise<{ places: Place[]; bytes: number } | undefined> {
    const { engine, env } = this.context;
    let places: Place[] = [];
    let bytes = 0;
    let stride = 1;
    let from: string = leadership.descriptor().start_key;
    const turns = new BackgroundTurns(env);
    for (let turn = 0; ; turn++) {
      const meta = this.held(leadership);
      if (meta === undefined) return undefined;
      if (turn % stride === 0) places.push({ from, bytesBefore: bytes });
      if (places.length > PLACES_MAX) {
        places = places.filter((_place, index) => index % 2 === 0);
        stride *= 2;
      }
      const beganMs = turns.begin();
      const { keys } = turns;
      const piece = engine.measure(meta, { from, to: null }, keys);
      bytes += piece.bytes;
      if (piece.keys < keys || piece.lastKey === null) return { places, bytes };
      from = above(piece.lastKey);
      await turns.rest(beganMs);
    }
  }

  /** Key by key from `step`: the one that comes closest to the middle with rows on both sides. */
  private async refine(leadership: Leadership, step: Place, bytes: number): Promise<string | null | undefined> {
    const { engine, env } = this.context;
    let from = step.from;
    let before = step.bytesBefore;
    let best: { key: string; distance: number } | null = null;
    const turns = new BackgroundTurns(env);
    let beganMs = turns.begin();
    for (let looked = 1; ; looked++) {
      const meta = this.held(leadership);
      if (meta === undefined) return undefined;
      const one = engine.measure(meta, { from, to: null }, 1);
      if (one.lastKey === null) break;
      const distance = Math.abs(bytes - 2 * before);
      const divides = before > 0 && before < bytes && one.rows > 0;
      if (divides && (best === null || distance < best.distance)) best = { key: one.lastKey, distance };
      else if (divides) break;
      before += one.bytes;
      from = above(one.lastKey);
      if (looked % SINGLE_KEYS_PER_TURN === 0) {
        await turns.rest(beganMs);
        beganMs = turns.begin();
      }
    }
    return best?.key ?? null;
  }

  private held(leadership: Leadership): ReplicaMeta | undefined {
    return leadership.state() === 'SERVING' ? leadership.meta() : undefined;
  }
}

const wanted = ({ state }: WireDescriptor, operationId: string): boolean =>
  state.kind === 'SPLITTING' && state.operation_id === operationId && state.split_key === null;
