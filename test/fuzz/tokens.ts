import { generateKeyPairSync } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { Call, Caller } from '../../shared/contracts/api/call.ts';
import { incarnation, nodeEpoch, nodeId } from '../../shared/domain/ids.ts';
import type { SeededRandom } from '../simulation/random.ts';
import type { PuppetNode } from './puppet-nodes.ts';
import type { FuzzWorld } from './world.ts';

/** Tokens of every kind of caller, and ones that nobody should take. */

export interface Presented {
  /** Value of the Authorization header; null: there is none. */
  readonly header: string | null;
  /** `admin`, `node of node-101`, `expired` ...: for people. */
  readonly what: string;
  /** False: no call that asks for a token may take it. */
  readonly mayCall: boolean;
}

const HOUR_MS = 3_600_000;
const NODE_TOKEN_SECONDS = 60;
/** Life of the token that is left to expire, and what clocks may differ by, ms. */
const EXPIRING_MS = 60_000;
const TOLERATED_MS = 120_000;

export class Tokens {
  private readonly world: FuzzWorld;
  private readonly random: SeededRandom;
  private readonly foreignKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  /** Issued once and left to expire. */
  private expired: { readonly token: string; readonly fromMs: number } | null = null;

  constructor(world: FuzzWorld, random: SeededRandom) {
    this.world = world;
    this.random = random;
  }

  /** A token of a kind that may make the call. */
  async right(call: Call, node: PuppetNode | undefined): Promise<Presented> {
    const kinds = call.callers.filter((kind) => kind !== 'node' || node !== undefined);
    const kind = kinds.length === 0 ? 'admin' : this.random.pick(kinds);
    return this.of(kind, node, call);
  }

  /** A token, or none, that must not be let in. */
  async wrong(call: Call, node: PuppetNode | undefined): Promise<Presented> {
    const wrong = (what: string, header: string | null): Presented => ({ header, what, mayCall: false });
    const admin = this.world.adminToken();
    const draw = this.random.below(9);
    switch (draw) {
      case 0:
        return wrong('nobody', null);
      case 1:
        return wrong(
          'a scheme or text that is none',
          this.random.pick([
            '',
            'Bearer',
            'Bearer ',
            'Basic YTpi',
            admin,
            `Bearer ${admin} x`,
            'Bearer \u0000',
            'Bearer ä',
          ]),
        );
      case 2:
        return wrong('garbage', `Bearer ${this.random.pick(['x', 'a.b.c', '..', '{}', 'x'.repeat(9_000)])}`);
      case 3:
        return wrong('an admin token with one character changed or gone', `Bearer ${this.damaged(admin)}`);
      case 4: {
        const [head = '', payload = ''] = admin.split('.');
        const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
        return wrong(
          'unsigned',
          `Bearer ${this.random.pick([`${none}.${payload}.`, `${head}.${payload}.`, `${none}.${payload}`])}`,
        );
      }
      case 5: {
        const payload = jwt.decode(admin, { json: true }) ?? {};
        return wrong('signed by a foreign key', `Bearer ${jwt.sign(payload, this.foreignKey, { algorithm: 'ES256' })}`);
      }
      case 6:
        return wrong('expired', `Bearer ${await this.expiredToken()}`);
      case 7: {
        const { tokens } = this.world.controlPlane.deps;
        const data = await tokens.issue({ kind: 'data', name: 'app', tables: ['*'], access: 'read-write' }, HOUR_MS);
        return wrong('data', `Bearer ${data}`);
      }
      default: {
        const others = (['admin', 'node', 'joiner', 'nodeKey'] as const).filter((kind) => !call.callers.includes(kind));
        if (others.length === 0) return wrong('nobody', null);
        const presented = await this.of(this.random.pick(others), node, call);
        return { ...presented, mayCall: false };
      }
    }
  }

  /** One character changed, or gone. Never the last one of a part: it holds bits that no decoder reads. */
  private damaged(token: string): string {
    const places = [...token].flatMap((c, at) => (c === '.' || /^(\.|$)/.test(token.slice(at + 1)) ? [] : [at]));
    const at = this.random.pick(places);
    const replacement = this.random.chance(0.5) ? '' : token[at] === 'A' ? 'B' : 'A';
    return token.slice(0, at) + replacement + token.slice(at + 1);
  }

  private async expiredToken(): Promise<string> {
    if (this.expired === null) {
      const token = await this.world.controlPlane.issueAdminToken('past', EXPIRING_MS);
      this.expired = { token, fromMs: this.world.nowMs() + EXPIRING_MS + TOLERATED_MS };
    }
    return this.world.nowMs() < this.expired.fromMs ? 'not.yet.expired' : this.expired.token;
  }

  private async of(kind: Caller, node: PuppetNode | undefined, call: Call): Promise<Presented> {
    const { tokens } = this.world.controlPlane.deps;
    const bearer = (what: string, token: string): Presented => ({ header: `Bearer ${token}`, what, mayCall: true });
    switch (kind) {
      case 'public':
        return { header: null, what: 'nobody', mayCall: call.callers.includes('public') };
      case 'admin':
        return bearer('admin', this.world.adminToken());
      case 'joiner': {
        const answer = await this.world.ask('POST', '/cluster/join-tokens', this.world.adminToken(), {});
        return bearer('join token', String(answer.body['join_token']));
      }
      case 'nodeKey': {
        const iat = Math.floor(this.world.nowMs() / 1000);
        const claims = { iss: 'node', sub: node?.id ?? 'nobody', aud: 'register', iat, exp: iat + NODE_TOKEN_SECONDS };
        const foreign = node === undefined;
        const token = jwt.sign(claims, node?.key ?? this.foreignKey, { algorithm: 'ES256' });
        return { header: `Bearer ${token}`, what: `key of ${claims.sub}`, mayCall: !foreign };
      }
      case 'node': {
        if (node === undefined) return { header: null, what: 'nobody', mayCall: false };
        const claims = {
          kind: 'node' as const,
          nodeId: nodeId(node.id),
          nodeEpoch: nodeEpoch(node.nodeEpoch),
          incarnation: incarnation(node.incarnation),
        };
        return bearer(`node ${node.id}`, node.credential ?? (await tokens.issue(claims, HOUR_MS)));
      }
    }
  }
}
