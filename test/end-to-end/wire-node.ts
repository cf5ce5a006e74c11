import assert from 'node:assert/strict';
import { registerResponseSchema } from '../../shared/contracts/node/heartbeat.ts';
import type { Answer } from './http.ts';
import type { World } from './world.ts';

/** A node that is nothing but its calls on the wire: it registers, renews its lease when told to, and holds no data. */
export class WireNode {
  readonly nodeId: string;
  readonly credential: string;
  private readonly world: World;
  private readonly lease: { readonly node_epoch: number; readonly incarnation: string };
  private sequence = 0;

  private constructor(world: World, registered: Answer['body']) {
    const { node_id, credential, node_epoch, incarnation } = registerResponseSchema.parse(registered);
    this.world = world;
    this.nodeId = node_id;
    this.credential = credential;
    this.lease = { node_epoch, incarnation };
  }

  static async register(world: World, nodeId: string, zone: string, joinToken: string): Promise<WireNode> {
    const answer = await world.deployment.call('POST', '/cluster/nodes/register', {
      token: joinToken,
      body: { node_id: nodeId, host: '127.0.0.1', port: 7001, zone },
    });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.deepEqual(
      [answer.body['status'], answer.body['message'], answer.body['node_id']],
      ['success', 'Node registered', nodeId],
    );
    return new WireNode(world, answer.body);
  }

  /** One beat; over the Function URL where there is one. */
  async beat(): Promise<void> {
    const { deployment } = this.world;
    this.sequence += 1;
    const path = `/cluster/nodes/${this.nodeId}/heartbeat`;
    const options = {
      token: this.credential,
      body: { ...this.lease, sequence: this.sequence, attestation: this.sequence },
    };
    const answer =
      deployment.target === 'cloud'
        ? await deployment.hot('heartbeat', 'POST', path, options)
        : await deployment.call('POST', path, options);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.equal(answer.body['sequence'], this.sequence);
  }
}
