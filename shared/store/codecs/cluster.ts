import * as z from 'zod';
import type { Incarnation, NodeEpoch, NodeId, PackId, StoreUuid } from '../../domain/ids.ts';
import { counter, count, id, json, leaseProfile, text, wallMs } from './primitives.ts';

/** Nodes, their leases and statistics, the detector, join tokens. */

export const node = z.object({
  nodeId: id<NodeId>(),
  host: text,
  port: z.int(),
  zone: text,
  membership: z.enum(['ACTIVE', 'DECOMMISSIONING', 'DECOMMISSIONED']),
  cordoned: z.boolean(),
  // Absent in records that were written before there was maintenance.
  maintenance: z.object({ untilMs: wallMs, cordonedBefore: z.boolean() }).nullable().default(null),
  publicKey: z.record(z.string(), json).nullable(),
  addressNodeEpoch: count,
  version: text,
  registeredAtMs: wallMs,
  // Absent in records that were written before nodes had labels.
  placement: z
    .object({
      labels: z.record(z.string(), text),
      capacityWeight: z.number().positive(),
      setBy: z.enum(['REGISTRATION', 'OPERATOR']),
    })
    .exactOptional(),
});

export const liveness = z.object({
  nodeId: id<NodeId>(),
  nodeEpoch: counter<NodeEpoch>(),
  incarnation: id<Incarnation>().nullable(),
  sequence: count,
  released: z.boolean(),
  expired: z.object({ nodeEpoch: counter<NodeEpoch>(), sequence: count }).nullable(),
  fencedAtMs: wallMs.nullable(),
  openFence: z.object({ cleanSweeps: count }).nullable(),
  profile: leaseProfile,
  storeUuid: id<StoreUuid>(),
  attestation: count,
  lastHeartbeatMs: wallMs,
  mail: count,
  // Absent in items that were written before there were packs.
  pack: z.object({ packId: id<PackId>(), slot: text }).nullable().default(null),
});

const bySlot = <T extends z.ZodType>(value: T) => z.record(z.string(), value);

export const livenessPack = z.object({
  packId: id<PackId>(),
  nextSlot: count,
  members: bySlot(id<NodeId>()),
  nodeEpochs: bySlot(counter<NodeEpoch>()),
  incarnations: bySlot(id<Incarnation>()),
  sequences: bySlot(count),
  released: bySlot(z.boolean()),
  expired: bySlot(count),
  attestations: bySlot(count),
  heartbeats: bySlot(wallMs),
  mail: bySlot(count),
});

export const nodeStats = z.object({ nodeId: id<NodeId>(), nodeEpoch: count, stats: json, atMs: wallMs });

export const detector = z.object({
  holder: text,
  token: count,
  beat: count,
  released: z.boolean(),
  brake: z.object({ engagedAtMs: wallMs, lost: count, reason: text }).nullable(),
});

export const joinToken = z.object({
  tokenId: id<string>(),
  createdBy: text,
  createdAtMs: wallMs,
  expiresAtMs: wallMs,
  usedBy: z.object({ nodeId: id<NodeId>(), incarnation: id<Incarnation>(), atMs: wallMs }).nullable(),
});
