import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import type { Json } from '../../shared/domain/records.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { NodeClient } from '../../shared/ports.ts';
import type { SeededRandom } from '../simulation/random.ts';
import type { VirtualTime } from '../simulation/virtual-time.ts';
import type { KnownShard } from './knowledge.ts';

/**
 * Nodes without data, so that the fuzzed world lives: they register, beat, do what commands say, and lead their shards by the
 * book (proposals, split keys, silent leaders). They speak to the control plane as real ones do, through its front door.
 */

/** Milliseconds between two beats: the standard profile's period. */
const BEAT_MS = 3_000;
/** Beats between two rounds of reports. */
const TEND_EVERY_BEATS = 3;
/** Shards that one round looks at. */
const TENDED_SHARDS_MAX = 200;
/** Reports of one message. */
const REPORTS_MAX = 50;

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}
/** Sends a request to the control plane. */
export type Ask = (method: string, path: string, token: string, body?: unknown) => Promise<Answer>;

export type Mood = 'OBEDIENT' | 'UNREACHABLE' | 'REFUSING' | 'STOPPED';

export interface PuppetNode {
  readonly id: string;
  readonly zone: string;
  readonly port: number;
  readonly key: KeyObject;
  storeUuid: string;
  incarnation: string;
  nodeEpoch: number;
  sequence: number;
  attestation: number;
  /** Null: not registered, or fenced. */
  credential: string | null;
  mood: Mood;
  /** Monotonic ms of the world at which the mood passes. */
  moodEndsMs: number;
}

interface Parts {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly ask: Ask;
  readonly adminToken: () => string;
}

const ZONES = ['a', 'b', 'c'];
const FIRST_PORT = 7_000;

export class PuppetNodes {
  readonly byId = new Map<string, PuppetNode>();
  private readonly parts: Parts;
  private made = 0;

  constructor(parts: Parts) {
    this.parts = parts;
  }

  /** Adds a node that begins to beat; `registered` if a request registered it already. */
  adopt(id: string, registered?: Readonly<Record<string, unknown>>): PuppetNode {
    const node: PuppetNode = {
      id,
      zone: ZONES[this.made % ZONES.length] ?? 'a',
      port: FIRST_PORT + this.made,
      key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
      storeUuid: `store-${id}`,
      incarnation: '',
      nodeEpoch: 0,
      sequence: 0,
      attestation: 0,
      credential: null,
      mood: 'OBEDIENT',
      moodEndsMs: 0,
    };
    this.made += 1;
    if (registered !== undefined) takeRegistration(node, registered);
    this.byId.set(id, node);
    void this.live(node);
    return node;
  }

  /** A request, not the node itself, registered it. */
  registered(id: string, answer: Readonly<Record<string, unknown>>): void {
    const node = this.byId.get(id);
    if (node === undefined) this.adopt(id, answer);
    else takeRegistration(node, answer);
  }

  living(): readonly PuppetNode[] {
    return [...this.byId.values()].filter((node) => node.mood !== 'STOPPED' && node.credential !== null);
  }

  setMood(node: PuppetNode, mood: Mood, forMs: number): void {
    node.mood = mood;
    node.moodEndsMs = this.parts.time.nowMs() + forMs;
  }

  /** How functions push commands to the nodes. */
  readonly client: NodeClient = {
    push: (address, commands) => {
      const node = this.byId.get(address.nodeId);
      if (node === undefined || node.mood === 'STOPPED' || node.mood === 'UNREACHABLE') {
        return Promise.resolve(err({ code: 'NODE_UNREACHABLE' as const, message: `${address.nodeId} is not there` }));
      }
      return Promise.resolve(ok(commands.map((command) => obey(node, command))));
    },
  };

  private async live(node: PuppetNode): Promise<void> {
    let mailSeen = 0;
    let acks: Json[] = [];
    for (let beat = 0; this.byId.get(node.id) === node; beat++) {
      await this.pause(BEAT_MS * this.parts.random.between(0.8, 1));
      if (node.mood !== 'OBEDIENT' && this.parts.time.nowMs() >= node.moodEndsMs) node.mood = 'OBEDIENT';
      if (node.mood === 'STOPPED') continue;
      if (node.credential === null) {
        await this.register(node);
        mailSeen = 0;
        acks = [];
        continue;
      }
      const answer = await this.beat(node, mailSeen, acks, beat);
      if (answer === null) continue;
      acks = answer.commands.map((command) => obey(node, command));
      if (acks.length === 0) mailSeen = answer.mail;
      if (beat % TEND_EVERY_BEATS === 0) await this.tend(node);
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.parts.time.after(ms, resolve));
  }

  private async register(node: PuppetNode): Promise<void> {
    const incarnation = `inc-${this.parts.random.hex(6)}`;
    const { d: _private, ...publicKey } = node.key.export({ format: 'jwk' });
    const knows = node.nodeEpoch > 0;
    const answer = await this.parts.ask('POST', '/cluster/nodes/register', this.parts.adminToken(), {
      node_id: node.id,
      host: '127.0.0.1',
      port: node.port,
      zone: node.zone,
      incarnation,
      store_uuid: node.storeUuid,
      public_key: publicKey,
      ...(knows ? { attestation: { node_epoch: node.nodeEpoch, counter: node.attestation } } : {}),
      version: '1.0.0',
    });
    const code = answer.body['code'];
    if (answer.status === 200) takeRegistration(node, answer.body);
    else if (code === 'NODE_DECOMMISSIONED') this.byId.delete(node.id);
    else if (code === 'STORE_ROLLED_BACK' || code === 'STORE_MISMATCH') {
      // As a real one does: what it holds is set aside, and it begins anew.
      node.storeUuid = `store-${this.parts.random.hex(6)}`;
      node.nodeEpoch = 0;
      node.attestation = 0;
    }
  }

  private async beat(
    node: PuppetNode,
    mailSeen: number,
    acks: readonly Json[],
    count: number,
  ): Promise<{ mail: number; commands: readonly Json[] } | null> {
    const { random } = this.parts;
    node.sequence += 1;
    node.attestation += 1;
    const stats = {
      shards: 10,
      leaders: 3,
      bytes: random.below(1e9),
      requests_per_second: random.below(1_000),
      fsync_ms_p99: random.between(1, 20),
      disk: { capacity_bytes: 1e11, used_bytes: random.below(5e10) },
      busiest: [],
    };
    const answer = await this.parts.ask('POST', `/cluster/nodes/${node.id}/heartbeat`, node.credential ?? '', {
      node_epoch: node.nodeEpoch,
      incarnation: node.incarnation,
      sequence: node.sequence,
      attestation: node.attestation,
      mail_seen: mailSeen,
      ...(acks.length === 0 ? {} : { acks }),
      ...(count % 4 === 0 ? { stats } : {}),
    });
    if (answer.status === 200) {
      const { mail, commands, credential } = answer.body as { mail: number; commands: Json[]; credential?: string };
      if (typeof credential === 'string') node.credential = credential;
      return { mail, commands };
    }
    // Somebody else beat in its name, or it was fenced: the next beat finds out.
    if (answer.body['code'] === 'SEQUENCE_STALE') node.sequence = Number(answer.body['sequence']);
    else node.credential = null;
    if (!Number.isSafeInteger(node.sequence + 1)) node.credential = null;
    return null;
  }

  /** What a leader does for its shards, and what a follower says of a leader that is gone. */
  private async tend(node: PuppetNode): Promise<void> {
    const listed = await this.parts.ask(
      'GET',
      `/shards?node=${node.id}&limit=${TENDED_SHARDS_MAX}`,
      node.credential ?? '',
    );
    if (listed.status !== 200) return;
    const reports = (listed.body['shards'] as readonly KnownShard[]).flatMap((shard) => this.reportsOf(node, shard));
    if (reports.length === 0 || node.credential === null) return;
    await this.parts.ask('POST', `/cluster/nodes/${node.id}/reports`, node.credential, {
      node_epoch: node.nodeEpoch,
      incarnation: node.incarnation,
      reports: reports.slice(0, REPORTS_MAX),
    });
  }

  private reportsOf(node: PuppetNode, shard: KnownShard): readonly unknown[] {
    const { shard_id, epoch, generation } = shard;
    const own = shard.replica_details.find(({ node_id }) => node_id === node.id);
    if (own === undefined) return [];
    if (shard.leader !== node.id) {
      const leader = this.byId.get(shard.leader);
      if (leader?.mood === 'OBEDIENT' && leader.credential !== null) return [];
      const log = { last_epoch: epoch, last_seq: 10, intact: true };
      const { replica_id } = own;
      return [{ type: 'silent_leader', shard_id, replica_id, epoch, generation, store_uuid: node.storeUuid, log }];
    }
    const proposals = shard.replica_details.flatMap(({ replica_id, node_id, sync_status }) => {
      const member = this.byId.get(node_id);
      if (sync_status === 'IN_SYNC' || member === undefined || member.credential === null) return [];
      const session = { node_epoch: member.nodeEpoch, store_uuid: member.storeUuid, sync_status: 'IN_SYNC' };
      return [{ type: 'replica_status', shard_id, epoch, generation, replica_id, ...session }];
    });
    if (proposals.length > 0) return proposals.slice(0, 1);
    if (shard.state !== 'SPLITTING' || shard.operation_id === null) return [];
    const key = shard.data_range_end === null ? `${shard.data_range_start}m` : `${shard.data_range_start}0`;
    const split_key = /^-?\d*$/.test(shard.data_range_start) ? String(this.parts.random.below(1_000_000)) : key;
    const { operation_id } = shard;
    return [{ type: 'split_key', shard_id, epoch, generation, operation_id, split_key }];
  }
}

function takeRegistration(node: PuppetNode, answer: Readonly<Record<string, unknown>>): void {
  node.nodeEpoch = answer['node_epoch'] as number;
  node.incarnation = answer['incarnation'] as string;
  node.storeUuid = answer['store_uuid'] as string;
  node.credential = answer['credential'] as string;
  node.sequence = 0;
}

/** Does at once what the command says, or refuses it. */
function obey(node: PuppetNode, given: Json): Json {
  const command = given as unknown as NodeCommand;
  const { command_id, type, shard_id, replica_id, epoch, generation } = command;
  if (node.mood === 'REFUSING') {
    return { command_id, outcome: 'REFUSED', code: 'STORAGE', message: 'The disk is full.', receipt: null };
  }
  const receipt = { shard_id, replica_id, epoch, generation };
  const sealed = { ...receipt, sealed: { epoch, seq: 10 * epoch } };
  const ack: CommandAck = {
    command_id,
    outcome: 'DONE',
    code: null,
    message: null,
    receipt: type === 'step_down' ? receipt : type === 'seal_merge' ? sealed : null,
  };
  return ack;
}
