import {
  checkDescriptor,
  checkLivenessTransition,
  checkTiling,
  checkTransition,
} from '../../shared/domain/invariants.ts';
import type { Violation } from '../../shared/domain/invariants.ts';
import { checkMerge, checkSplit } from '../../shared/domain/structure-invariants.ts';
import { compareKeys } from '../../shared/domain/keys.ts';
import type { NodeId, PackId } from '../../shared/domain/ids.ts';
import type { LivenessRecord } from '../../shared/domain/lease.ts';
import { mergeLiveness } from '../../shared/domain/liveness-pack.ts';
import type { LivenessPack } from '../../shared/domain/liveness-pack.ts';
import { checkOperationTransition } from '../../shared/domain/operation-invariants.ts';
import type { OperationRecord, TableRecord } from '../../shared/domain/records.ts';
import type { ShardDescriptor } from '../../shared/domain/shard.ts';
import type { StoredItem } from '../../shared/ports.ts';
import { entities } from '../../shared/store/entities.ts';
import type { CommittedWrite } from '../../shared/store/faults.ts';
import { checkClosedFence } from './fence-watch.ts';

/** Sees every commit of the metadata store, keeps its own picture of shards and leases, and checks each change against the invariants. */
export class MetadataWatch {
  readonly shards = new Map<string, ShardDescriptor>();
  /** Leases as the reader of liveness shows them: own items and packs put together. */
  readonly liveness = new Map<NodeId, LivenessRecord>();
  private readonly ownItems = new Map<NodeId, LivenessRecord>();
  private readonly packs = new Map<PackId, LivenessPack>();
  readonly tables = new Map<string, TableRecord>();
  readonly operations = new Map<string, OperationRecord>();
  /** Every range that a shard ever had, with its id: those that it gave up in a split included. */
  readonly ranges: Pick<ShardDescriptor, 'shardId' | 'startKey' | 'endKey'>[] = [];
  /** Told of every change of a leader. */
  readonly onLeaderChange: (() => void)[] = [];
  /** Who led a shard, epoch by epoch. */
  readonly leaders = new Map<string, { nodeId: NodeId; epoch: number }[]>();
  /** Commits seen, and descriptor changes among them that raised the epoch. */
  readonly counts = { commits: 0, descriptorChanges: 0, leaderChanges: 0, fences: 0, splits: 0, merges: 0 };
  private readonly shardIdsUsed = new Set<string>();
  private readonly replicaIdsUsed = new Set<string>();
  /** Copies of each shard when it was last taken by an operation that changes them, or since. */
  private readonly copiesAtClaim = new Map<string, number>();
  private readonly receipts = new Map<string, { epoch: number; generation: number }>();
  private readonly report: (violation: Violation) => void;
  private readonly note: (text: string) => void;

  /** Asks a node whether it believes to hold its lease under this node epoch right now. */
  private readonly believesInLease: (nodeId: string, nodeEpoch: number) => boolean;

  constructor(
    report: (violation: Violation) => void,
    note: (text: string) => void,
    believesInLease: (nodeId: string, nodeEpoch: number) => boolean,
  ) {
    this.report = report;
    this.note = note;
    this.believesInLease = believesInLease;
  }

  /** A data node gave this step-down receipt (E2). */
  receiptGiven(shardId: string, replicaId: string, receipt: { epoch: number; generation: number }): void {
    const key = `${shardId}/${replicaId}`;
    const known = this.receipts.get(key);
    if (known === undefined || known.epoch < receipt.epoch || known.generation < receipt.generation)
      this.receipts.set(key, { epoch: receipt.epoch, generation: receipt.generation });
  }

  committed(writes: readonly CommittedWrite[]): void {
    this.counts.commits++;
    this.checkAudit(writes);
    const put = new Map<string, ShardDescriptor>();
    const deleted = new Map<string, ShardDescriptor>();
    const leases = new Set<NodeId>();
    for (const write of writes) {
      const { table, pk, sk } = write.key;
      if (table === 'topology' && pk.startsWith('P#') && sk.startsWith('K#')) {
        if (write.after !== null) {
          const shard = entities.shard.codec.decode(write.after.body);
          put.set(shard.shardId, shard);
        } else if (write.before !== null) {
          const shard = entities.shard.codec.decode(write.before.body);
          deleted.set(shard.shardId, shard);
        }
      } else if (table === 'liveness' && pk.startsWith('L#')) this.ownItemPut(write.before, write.after, leases);
      else if (table === 'liveness' && pk.startsWith('K#')) this.packPut(write.after, leases);
      else if (table === 'catalog' && sk.startsWith('T#')) this.tableChanged(write.before, write.after);
      else if (table === 'operations' && pk === 'OPERATIONS' && write.after !== null) {
        const decode = (item: StoredItem): OperationRecord => entities.operation.codec.decode(item.body);
        const before = write.before === null ? null : decode(write.before);
        const after = decode(write.after);
        checkOperationTransition(before, after).forEach(this.report);
        if (before?.status !== after.status) this.note(`${after.type} ${after.operationId} is ${after.status}`);
        this.operations.set(after.operationId, after);
      }
    }
    this.boundsChanged(put, deleted);
    // After all writes of the commit: a lease that moves is in both of its items.
    for (const nodeId of leases) this.leaseChanged(nodeId);
    for (const shard of put.values()) this.descriptorPut(shard);
    for (const shard of deleted.values()) if (!put.has(shard.shardId)) this.descriptorDeleted(shard);
  }

  /** Active tables tile the key space (I-1). */
  checkTables(): void {
    for (const table of this.tables.values()) {
      if (table.state !== 'ACTIVE') continue;
      const shards = [...this.shards.values()]
        .filter((shard) => shard.tableId === table.tableId)
        .toSorted((left, right) => compareKeys(left.startKey, right.startKey));
      checkTiling(table.table, shards).forEach(this.report);
    }
  }

  /** A split or a merge in the commit: checked as a whole (S1, S2) and taken into the picture. What is left are changes of single descriptors. */
  private boundsChanged(put: Map<string, ShardDescriptor>, deleted: Map<string, ShardDescriptor>): void {
    for (const after of [...put.values()]) {
      const before = this.shards.get(after.shardId);
      if (before === undefined || before.endKey === after.endKey) continue;
      const born = [...put.values()].find(
        (shard) => !this.shards.has(shard.shardId) && shard.startKey === after.endKey,
      );
      const gone = [...deleted.values()].find((shard) => !put.has(shard.shardId) && shard.startKey === before.endKey);
      if (born !== undefined) {
        checkSplit(before, after, born).forEach(this.report);
        this.counts.splits++;
        this.take(after);
      } else if (gone !== undefined) {
        const receipt = (shardId: string, replicaId: string): { epoch: number; generation: number } | null =>
          this.receipts.get(`${shardId}/${replicaId}`) ?? null;
        checkMerge(before, this.shards.get(gone.shardId) ?? gone, after, receipt).forEach(this.report);
        this.counts.merges++;
        this.shards.delete(gone.shardId);
        deleted.delete(gone.shardId);
        this.take(after);
      } else continue; // reported as a change of bounds by checkTransition
      put.delete(after.shardId);
    }
  }

  private descriptorPut(shard: ShardDescriptor): void {
    const before = this.shards.get(shard.shardId);
    if (before === undefined) {
      if (this.shardIdsUsed.has(shard.shardId))
        this.report({ invariant: 'I-2', rule: null, subject: shard.shardId, message: 'a shard id was used again' });
      this.shardIdsUsed.add(shard.shardId);
      checkDescriptor(shard).forEach(this.report);
    } else if (JSON.stringify(before) === JSON.stringify(shard)) {
      return; // moved to another page
    } else {
      this.counts.descriptorChanges++;
      if (shard.epoch !== before.epoch) this.counts.leaderChanges++;
      checkTransition(before, shard, {
        liveness: (nodeId) => this.liveness.get(nodeId) ?? null,
        receipt: (shardId, replicaId) => this.receipts.get(`${shardId}/${replicaId}`) ?? null,
        replicaIdUsed: (replicaId) => this.replicaIdsUsed.has(replicaId),
        replicationFactor: (after) => this.factorOf(after),
      }).forEach(this.report);
    }
    this.take(shard);
  }

  /** The table's; of a shard that had fewer copies when its owner took it, that many: a replacement keeps their number (I-7). */
  private factorOf({ shardId, tableId }: ShardDescriptor): number | undefined {
    const factor = [...this.tables.values()].find((table) => table.tableId === tableId)?.replicationFactor;
    return factor === undefined ? undefined : Math.min(factor, this.copiesAtClaim.get(shardId) ?? factor);
  }

  private take(shard: ShardDescriptor): void {
    const before = this.shards.get(shard.shardId);
    if (before?.state.kind !== 'CHANGING_REPLICAS') this.copiesAtClaim.set(shard.shardId, shard.replicas.length);
    this.shards.set(shard.shardId, shard);
    if (before?.startKey !== shard.startKey || before.endKey !== shard.endKey) this.ranges.push(shard);
    for (const replica of shard.replicas) this.replicaIdsUsed.add(replica.replicaId);
    if (before?.epoch !== shard.epoch) {
      const leaders = this.leaders.get(shard.shardId) ?? [];
      this.leaders.set(shard.shardId, [...leaders, { nodeId: shard.leader.nodeId, epoch: shard.epoch }]);
      for (const told of this.onLeaderChange) told();
    }
    this.note(describeShard(shard));
  }

  private descriptorDeleted(shard: ShardDescriptor): void {
    this.shards.delete(shard.shardId);
    const table = [...this.tables.values()].find((candidate) => candidate.tableId === shard.tableId);
    if (table?.state === 'ACTIVE')
      this.report({
        invariant: 'I-1',
        rule: null,
        subject: shard.shardId,
        message: 'a shard of an active table vanished',
      });
    this.note(`${shard.shardId} deleted`);
  }

  private ownItemPut(beforeItem: StoredItem | null, afterItem: StoredItem | null, leases: Set<NodeId>): void {
    if (afterItem === null) {
      const before = beforeItem === null ? null : entities.liveness.codec.decode(beforeItem.body);
      this.report({
        invariant: 'I-8',
        rule: 'L4',
        subject: before?.nodeId ?? '?',
        message: 'a Liveness item vanished',
      });
      return;
    }
    const after = entities.liveness.codec.decode(afterItem.body);
    this.ownItems.set(after.nodeId, after);
    leases.add(after.nodeId);
  }

  private packPut(afterItem: StoredItem | null, leases: Set<NodeId>): void {
    if (afterItem === null) {
      this.report({ invariant: 'I-4', rule: 'L1', subject: '?', message: 'a pack vanished' });
      return;
    }
    const pack = entities.livenessPack.codec.decode(afterItem.body);
    for (const nodeId of Object.values(this.packs.get(pack.packId)?.members ?? {})) leases.add(nodeId);
    for (const nodeId of Object.values(pack.members)) leases.add(nodeId);
    this.packs.set(pack.packId, pack);
  }

  private leaseChanged(nodeId: NodeId): void {
    const own = this.ownItems.get(nodeId);
    const place = own?.pack ?? null;
    // L1: every (node, node epoch) has its lease in exactly one place.
    for (const pack of this.packs.values())
      for (const [slot, member] of Object.entries(pack.members))
        if (member === nodeId && (place?.packId !== pack.packId || place.slot !== slot))
          this.report({
            invariant: 'I-4',
            rule: 'L1',
            subject: nodeId,
            message: `a second lease in slot ${slot} of ${pack.packId}`,
          });
    if (own === undefined) return;
    const after = mergeLiveness(own, place === null ? null : (this.packs.get(place.packId) ?? null));
    if (after === null) {
      this.report({
        invariant: 'I-4',
        rule: 'L1',
        subject: nodeId,
        message: 'its pack holds no lease of its node epoch',
      });
      return;
    }
    const before = this.liveness.get(nodeId) ?? null;
    this.liveness.set(nodeId, after);
    checkLivenessTransition(before, after).forEach(this.report);
    checkClosedFence(before, after, this.shards.values()).forEach(this.report);
    if (before?.nodeEpoch === after.nodeEpoch) return;
    if (before !== null && this.believesInLease(before.nodeId, before.nodeEpoch))
      this.report({
        invariant: 'I-4',
        rule: 'L2',
        subject: after.nodeId,
        message: `fenced while it held its lease under node epoch ${before.nodeEpoch}`,
      });
    this.counts.fences++;
    this.note(`${after.nodeId} node epoch ${after.nodeEpoch}, ${after.incarnation === null ? 'fenced' : 'registered'}`);
  }

  private tableChanged(beforeItem: StoredItem | null, afterItem: StoredItem | null): void {
    if (afterItem === null) {
      if (beforeItem !== null) this.tables.delete(entities.table.codec.decode(beforeItem.body).table);
      return;
    }
    const table = entities.table.codec.decode(afterItem.body);
    this.tables.set(table.table, table);
    this.note(`table ${table.table} is ${table.state}`);
    this.checkTables();
  }

  /** I-16: what is audited commits with its audit entry. Which kinds are not is written at `UnauditedKind` in shared/ports.ts. */
  private checkAudit(writes: readonly CommittedWrite[]): void {
    // Derived indexes apart: roots, and the rows of owned shards, which name what a descriptor says.
    const audited = writes.find(
      ({ key }) =>
        (key.table === 'topology' && !key.pk.startsWith('R#') && key.pk !== 'OWNED_SHARDS') ||
        key.table === 'catalog' ||
        key.table === 'access',
    );
    if (audited === undefined) return;
    if (writes.some(({ key }) => key.table === 'events' && key.sk.startsWith('A#'))) return;
    const { table, pk, sk } = audited.key;
    this.report({
      invariant: 'I-16',
      rule: null,
      subject: `${table} ${pk} ${sk}`,
      message: 'committed without an audit entry',
    });
  }
}

/** One line: `shard-1 e3 g7 r-1@node-101/4* r-2@node-102/2 (r-3@node-103/1 OFFLINE)`. */
export function describeShard(shard: ShardDescriptor): string {
  const replicas = shard.replicas.map((replica) => {
    const name = `${replica.nodeId}/${replica.nodeEpoch}${replica.replicaId === shard.leader.replicaId ? '*' : ''}`;
    return replica.syncStatus === 'IN_SYNC' ? name : `(${name} ${replica.syncStatus})`;
  });
  const intent = shard.intent === null ? '' : ` -> ${shard.intent.targetReplicaId}`;
  return `${shard.shardId} e${shard.epoch} g${shard.generation} ${replicas.join(' ')}${intent}`;
}
