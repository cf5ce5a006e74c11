import assert from 'node:assert/strict';
import type { Deployment } from './deployment.ts';

/** A node that knows the control plane's wire only: it renews its lease over the Function URL and does whatever it is told. */
export class WireNode {
  readonly id: string;
  private readonly deployment: Deployment;
  private readonly credential: string;
  private readonly lease: { readonly node_epoch: number; readonly incarnation: string };
  private sequence = 0;
  private mailSeen = 0;
  private acks: readonly object[] = [];

  private constructor(deployment: Deployment, id: string, registered: Readonly<Record<string, unknown>>) {
    this.deployment = deployment;
    this.id = id;
    this.credential = registered['credential'] as string;
    this.lease = {
      node_epoch: registered['node_epoch'] as number,
      incarnation: registered['incarnation'] as string,
    };
  }

  static async register(deployment: Deployment, id: string, zone: string): Promise<WireNode> {
    const issued = await deployment.call('POST', '/cluster/join-tokens', { token: deployment.admin, body: {} });
    const answer = await deployment.call('POST', '/cluster/nodes/register', {
      token: issued.body['join_token'] as string,
      body: { node_id: id, host: '127.0.0.1', port: 7001, zone },
    });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return new WireNode(deployment, id, answer.body);
  }

  get token(): string {
    return this.credential;
  }

  /** One beat: acknowledges what the beat before brought, takes what there is to do, and has done it at once. */
  async beat(): Promise<readonly string[]> {
    this.sequence += 1;
    const answer = await this.deployment.hot('heartbeat', 'POST', `/cluster/nodes/${this.id}/heartbeat`, {
      token: this.credential,
      body: {
        ...this.lease,
        sequence: this.sequence,
        attestation: this.sequence,
        mail_seen: this.mailSeen,
        ...(this.acks.length === 0 ? {} : { acks: this.acks }),
      },
    });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.equal(answer.body['sequence'], this.sequence);
    const commands = answer.body['commands'] as readonly { command_id: string; type: string }[];
    this.acks = commands.map(({ command_id }) => ({
      command_id,
      outcome: 'DONE',
      code: null,
      message: null,
      receipt: null,
    }));
    if (commands.length === 0) this.mailSeen = answer.body['mail'] as number;
    return commands.map(({ type }) => type);
  }
}
