import type { CopyState, KeyRange, ModelEvent, Position } from './events.ts';
import { Logs } from './logs.ts';

/**
 * The next-state relation of model/leadership.pml, executable: it takes the events of a run one by one and refuses what the model has no
 * transition for. A refusal bears the name of the guard that the event would have had to pass (`R2_WHOLE` is -DNO_R2_WHOLE there).
 */
export interface Refusal {
  readonly guard: string;
  readonly subject: string;
  readonly message: string;
}

interface Copy {
  promised: number;
  receipt: number;
  last: Position;
  /** False: it is no proof of anything before a snapshot. */
  intact: boolean;
  range: KeyRange | null;
}
interface Term {
  readonly node: string;
  readonly noop: Position;
}
type Descriptor = Extract<ModelEvent, { type: 'descriptor' }>;
interface Shard {
  readonly logs: Logs;
  readonly copies: Map<string, Copy>;
  /** Who took up which epoch. */
  readonly terms: Map<number, Term>;
  /** Leader by epoch, as committed. */
  readonly leaders: Map<number, string>;
  descriptor: Descriptor | null;
  range: KeyRange | null;
  /** It is a part of another shard by now (S2). */
  absorbed: boolean;
}

interface Acknowledged {
  readonly key: string;
  readonly value: string;
  /** Of the entry that was acknowledged; one of an earlier term was given up, and whoever has it may truncate it. */
  readonly epoch: number;
}

export class ModelTwin {
  private readonly shards = new Map<string, Shard>();
  /** Node epochs, and the number of the event that raised a node above each. */
  private readonly nodes = new Map<string, number>();
  private readonly raisedAt = new Map<string, number>();
  private readonly acknowledged: Acknowledged[] = [];
  /** Nodes that ever held a write durably. */
  private readonly holders = new Map<string, Set<string>>();
  private refusal: Refusal | null = null;
  events = 0;

  /** Null: the model allows the event. */
  take(event: ModelEvent): Refusal | null {
    this.events++;
    this.refusal = null;
    switch (event.type) {
      case 'node':
        this.node(event.node, event.epoch);
        break;
      case 'descriptor':
        this.descriptor(event);
        break;
      case 'opened':
        this.opened(event.node, event.copies);
        break;
      case 'acknowledged':
        this.acknowledge(event.key, event.value);
        break;
      default:
        this.effect(event);
    }
    return this.refusal;
  }

  private refuse(guard: string, subject: string, message: string): void {
    this.refusal ??= { guard, subject, message };
  }

  private shard(id: string): Shard {
    let shard = this.shards.get(id);
    if (shard === undefined) {
      shard = {
        logs: new Logs(),
        copies: new Map(),
        terms: new Map(),
        leaders: new Map(),
        descriptor: null,
        range: null,
        absorbed: false,
      };
      this.shards.set(id, shard);
    }
    return shard;
  }

  private node(node: string, epoch: number): void {
    const before = this.nodes.get(node) ?? 0;
    if (epoch !== before + 1) this.refuse('L1', node, `node epoch ${epoch} after ${before}`);
    this.nodes.set(node, epoch);
    this.raisedAt.set(`${node}/${before}`, this.events);
  }

  /** A restart finds what was durable; a directory that was lost or rolled back finds less, and no more. */
  private opened(node: string, copies: readonly CopyState[]): void {
    for (const shard of this.shards.values()) shard.copies.delete(node);
    for (const state of copies) {
      const shard = this.shard(state.shard);
      if (!shard.logs.has(state.last)) this.refuse('R5', state.shard, `${node} found a log that nobody wrote`);
      shard.copies.set(node, { ...state, range: null });
    }
  }

  // --- Effects on a node's disk.

  private effect(event: Exclude<ModelEvent, { type: 'node' | 'descriptor' | 'opened' | 'acknowledged' }>): void {
    const shard = this.shard(event.shard);
    const { node } = event;
    if (event.type === 'created') {
      const copy = { promised: event.promised, receipt: 0, last: { epoch: 0, seq: 0 }, intact: true, range: null };
      const listed = shard.descriptor?.replicas.find((replica) => replica.node === node);
      // Nothing is acknowledged before the first copies exist: only then an empty one is all of it.
      if (listed?.inSync === true && listed.nodeEpoch === this.nodes.get(node))
        this.lacking(shard, copy, (value) =>
          this.refuse(
            'ADR3_ELECTABLE',
            event.shard,
            `an empty copy on ${node}, whose entry can be elected, without ${value}`,
          ),
        );
      shard.copies.set(node, copy);
      return;
    }
    const copy = shard.copies.get(node);
    if (copy === undefined) {
      this.refuse('R4_MATCH', event.shard, `${event.type} on ${node}, which holds no copy`);
      return;
    }
    switch (event.type) {
      case 'ranged':
        copy.range = event.range;
        if ((shard.range?.generation ?? 0) <= event.range.generation) shard.range = event.range;
        return;
      case 'promised':
        if (event.epoch < copy.promised)
          this.refuse('R5_PROMISE', event.shard, `the promise of ${node} fell to ${event.epoch}`);
        copy.promised = event.epoch;
        return;
      case 'receipt':
        if (event.epoch < copy.receipt || event.epoch > copy.promised)
          this.refuse('E2_BAR', event.shard, `${node} gave a receipt of ${event.epoch}, promised ${copy.promised}`);
        copy.receipt = event.epoch;
        return;
      case 'appended':
        for (const entry of event.entries) this.append(event.shard, node, copy, entry);
        return;
      case 'truncated':
        this.truncate(event.shard, node, copy, event.seq);
        return;
      case 'loaded':
        if (!shard.logs.has(event.at)) this.refuse('R5_COMMITTED', event.shard, `${node} loaded what nobody had`);
        copy.last = event.at;
        copy.intact = true;
        this.holds(node, shard.logs.values(event.at));
        return;
      case 'forked': {
        const child = this.shard(event.child.shard);
        // S1: the child's log goes on with the parent's numbering.
        if (!shard.logs.has(event.child.last))
          this.refuse('S1', event.shard, `${node} forked a log that it does not have`);
        child.logs.inherit(shard.logs, event.child.last);
        child.copies.set(node, { ...event.child, range: null });
        return;
      }
      case 'joined': {
        const right = this.shard(event.right);
        const other = right.copies.get(node);
        if (other === undefined) this.refuse('S2', event.shard, `${node} joined a part that it does not hold`);
        else
          shard.logs.begin(event.base, [
            { logs: shard.logs, last: copy.last },
            { logs: right.logs, last: other.last },
          ]);
        right.copies.delete(node);
        right.absorbed = true;
        copy.last = event.base;
        copy.intact = true;
        return;
      }
      case 'voided':
        copy.intact = false;
        return;
      case 'removed':
        shard.copies.delete(node);
        return;
    }
  }

  private append(
    id: string,
    node: string,
    copy: Copy,
    entry: Extract<ModelEvent, { type: 'appended' }>['entries'][number],
  ): void {
    const shard = this.shard(id);
    const leads = shard.leaders.get(entry.epoch) === node;
    if (leads && !shard.logs.has(entry)) this.lead(id, node, copy, entry);
    else if (!shard.logs.follows(copy.last, entry))
      this.refuse(
        'R5_TRUNCATE',
        id,
        `${node} took (${entry.epoch}, ${entry.seq}) after (${copy.last.epoch}, ${copy.last.seq})`,
      );
    if (entry.epoch > copy.promised)
      this.refuse('R5_PROMISE', id, `${node} took epoch ${entry.epoch}, promised ${copy.promised}`);
    copy.last = { epoch: entry.epoch, seq: entry.seq };
    this.holds(
      node,
      entry.writes.map(({ value }) => value),
    );
  }

  /** The leader of the epoch appends: first its no-op, which takes the epoch up, then writes. */
  private lead(
    id: string,
    node: string,
    copy: Copy,
    entry: Extract<ModelEvent, { type: 'appended' }>['entries'][number],
  ): void {
    const shard = this.shard(id);
    const { epoch } = entry;
    if (copy.promised !== epoch)
      this.refuse('R5_PROMISE', id, `${node} appends at ${epoch}, promised ${copy.promised}`);
    if (copy.receipt >= epoch) this.refuse('E2_BAR', id, `${node} leads ${epoch} after its receipt of ${copy.receipt}`);
    const term = shard.terms.get(epoch);
    if (term === undefined) {
      if (copy.last.epoch >= epoch)
        this.refuse('I3', id, `${node} takes up epoch ${epoch} with entries of ${copy.last.epoch}`);
      if (entry.writes.length > 0) this.refuse('R5_NOOP', id, `${node} writes at ${epoch} before its no-op`);
      if (!copy.intact) this.refuse('E4_UUID', id, `${node} takes up epoch ${epoch} with a copy that proves nothing`);
      // I-6 is about later terms: who takes up an epoch that others have passed meanwhile has all that was acknowledged before it.
      this.lacking(shard, copy, (value, of) => {
        if (of < epoch) this.refuse('I6', id, `${node} takes up epoch ${epoch} without ${value}`);
      });
      shard.terms.set(epoch, { node, noop: { epoch, seq: entry.seq } });
    } else if (term.node !== node) this.refuse('I3', id, `${node} and ${term.node} lead epoch ${epoch}`);
    if (!shard.logs.append(copy.last, entry)) this.refuse('I3', id, `(${epoch}, ${entry.seq}) was given twice`);
  }

  private truncate(id: string, node: string, copy: Copy, seq: number): void {
    const shard = this.shard(id);
    const kept = shard.logs.cut(copy.last, seq);
    const after = shard.logs.values(kept);
    const gone = new Map<string, number>();
    for (const place of shard.logs.entries(copy.last)) {
      if (place.seq <= kept.seq) break;
      for (const { value } of place.writes) if (!after.has(value)) gone.set(value, place.epoch);
    }
    for (const { key, value, epoch } of this.acknowledged)
      if ((gone.get(value) ?? -1) >= epoch && this.covers(copy.range, key))
        this.refuse('I6', id, `${node} truncates ${value}, which was acknowledged`);
    copy.last = kept;
  }

  private holds(node: string, values: Iterable<string>): void {
    for (const value of values) {
      const holders = this.holders.get(value) ?? new Set();
      this.holders.set(value, holders.add(node));
    }
  }

  // --- Commits of the store.

  private descriptor(event: Descriptor): void {
    const shard = this.shard(event.shard);
    const before = shard.descriptor;
    shard.descriptor = event;
    shard.leaders.set(event.epoch, event.leader);
    if (before === null) return;
    const { shard: id } = event;
    if (event.generation <= before.generation)
      this.refuse('GENERATION', id, `generation ${event.generation} after ${before.generation}`);
    if (event.epoch < before.epoch) this.refuse('I3', id, `epoch ${event.epoch} after ${before.epoch}`);
    else if (event.epoch === before.epoch) {
      if (event.leader !== before.leader) this.refuse('I3', id, `another leader at epoch ${event.epoch}`);
    } else this.leaderChange(before, event);
    const leaderIn = event.replicas.find((replica) => replica.node === event.leader);
    if (leaderIn?.inSync !== true) this.refuse('R1_FLOOR', id, 'the leader is not listed IN_SYNC');
    for (const replica of event.replicas) this.growth(before, event, replica);
  }

  /** R2: who joins, or comes under a newer node epoch, holds every acknowledged write. */
  private growth(before: Descriptor, event: Descriptor, replica: Descriptor['replicas'][number]): void {
    const was = before.replicas.find(({ node }) => node === replica.node);
    if (!replica.inSync || (was?.inSync === true && was.nodeEpoch === replica.nodeEpoch)) return;
    // The election of the void gives its winner its present node epoch (E4).
    if (event.epoch !== before.epoch && replica.node === event.leader && was?.inSync === true) return;
    const { shard: id } = event;
    if (event.epoch !== before.epoch) this.refuse('R2_SESSION', id, `the leader change made ${replica.node} IN_SYNC`);
    if (was === undefined) this.refuse('R2_REQUIRE', id, `${replica.node} was added IN_SYNC`);
    if (replica.nodeEpoch > (this.nodes.get(replica.node) ?? 0))
      this.refuse('R2_SESSION', id, `${replica.node} under a node epoch to come`);
    const shard = this.shard(id);
    const copy = shard.copies.get(replica.node);
    // A node that lost its directory since was required, and is void by now.
    if (copy === undefined || replica.nodeEpoch < (this.nodes.get(replica.node) ?? 0)) return;
    this.lacking(shard, copy, (value) =>
      this.refuse('R2_WHOLE', id, `${replica.node} joined IN_SYNC without ${value}`),
    );
  }

  private leaderChange(before: Descriptor, event: Descriptor): void {
    const { shard: id } = event;
    const chosen = before.replicas.find(({ node }) => node === event.leader);
    const entry = event.replicas.find(({ node }) => node === event.leader);
    if (chosen?.inSync !== true || entry === undefined) {
      this.refuse('E1_LISTED', id, `${event.leader} leads epoch ${event.epoch} and was not IN_SYNC`);
      return;
    }
    const old = before.replicas.find(({ node }) => node === before.leader);
    const fencedAt = this.raisedAt.get(`${before.leader}/${old?.nodeEpoch ?? 0}`);
    if (fencedAt === undefined) {
      // Transfer or merge: on the receipt of the old leader alone (E2, S2).
      const receipt = this.shard(id).copies.get(before.leader)?.receipt ?? 0;
      if (receipt < before.epoch)
        this.refuse('E2_RECEIPT', id, `${before.leader} is neither fenced nor gave a receipt of ${before.epoch}`);
    } else if (event.epoch !== before.epoch + 1)
      this.refuse('I3', id, `epoch ${event.epoch} by an election after ${before.epoch}`);
    if (entry.nodeEpoch === chosen.nodeEpoch) {
      // E1: its entry was in force when it was read, which was after the fence.
      const voidAt = this.raisedAt.get(`${event.leader}/${chosen.nodeEpoch}`);
      if (voidAt !== undefined && fencedAt !== undefined && voidAt < fencedAt)
        this.refuse('E1_ENTRY', id, `the entry of ${event.leader} was void before ${before.leader} was fenced`);
    } else if (before.replicas.some(({ node, nodeEpoch, inSync }) => inSync && this.nodes.get(node) === nodeEpoch))
      this.refuse(
        'E1_COPY',
        id,
        `${event.leader} leads under node epoch ${entry.nodeEpoch}, its entry had ${chosen.nodeEpoch}`,
      );
  }

  // --- Clients.

  /** R1, R5: whoever is IN_SYNC, now and under any later leader, held the write durably. */
  private acknowledge(key: string, value: string): void {
    const holders = this.holders.get(value);
    let epoch = 0;
    for (const [id, { range, descriptor, absorbed, logs }] of this.shards) {
      if (absorbed || !this.covers(range, key) || descriptor === null) continue;
      epoch = Math.max(epoch, logs.epochOf(value) ?? 0);
      for (const { node, inSync } of descriptor.replicas)
        if (inSync && holders?.has(node) !== true)
          this.refuse('R1_DROP', id, `${value} was acknowledged, and ${node} never held it`);
    }
    this.acknowledged.push({ key, value, epoch });
  }

  /** Acknowledged writes of the copy's range that it lacks. */
  private lacking(shard: Shard, copy: Copy, found: (value: string, epoch: number) => void): void {
    const held = shard.logs.values(copy.last);
    for (const { key, value, epoch } of this.acknowledged)
      if (this.covers(shard.range, key) && !held.has(value)) found(value, epoch);
  }

  private covers(range: KeyRange | null, key: string): boolean {
    return range !== null && range.from <= key && (range.to === null || key < range.to);
  }
}
