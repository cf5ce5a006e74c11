import { nodeCommandSchema, signedCommandSchema } from '../../shared/contracts/node/commands.ts';
import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';
import type { Clock } from '../../shared/domain/environment.ts';
import type { Logger, ShardHost } from '../ports.ts';
import { Certificates } from './certificates.ts';
import { verifyDocument } from './keys.ts';
import type { KeyRing } from './keys.ts';

/**
 * The node's gate for commands, however they arrive (push or heartbeat answer): signature and addressee are checked here,
 * epoch, generation and replica id by the shard host (E2, R4). Commands of one shard are applied in the order in which they
 * came; different shards do not wait for one another.
 */
export class CommandGate {
  /** Commands under way by id: a push and a heartbeat answer may carry the same one. */
  private readonly underWay = new Map<string, Promise<CommandAck>>();
  /** Last command under way of each shard. */
  private readonly tails = new Map<string, Promise<unknown>>();
  private readonly certificates = new Certificates();
  private readonly nodeId: string;
  private readonly host: Pick<ShardHost, 'apply'>;
  private readonly log: Logger;
  private readonly clock: Clock;

  constructor(options: {
    readonly nodeId: string;
    readonly host: Pick<ShardHost, 'apply'>;
    readonly log: Logger;
    readonly clock: Clock;
  }) {
    this.nodeId = options.nodeId;
    this.host = options.host;
    this.log = options.log;
    this.clock = options.clock;
  }

  useKeys(ring: KeyRing): void {
    this.certificates.useKeys(ring);
  }

  /** Checks and applies commands as they came off the wire. Those that are no command at all are logged and left out. */
  async take(received: readonly unknown[]): Promise<CommandAck[]> {
    const acks: Promise<CommandAck>[] = [];
    for (const document of received) {
      const ack = this.takeOne(document);
      if (ack !== null) acks.push(ack);
    }
    return Promise.all(acks);
  }

  private takeOne(document: unknown): Promise<CommandAck> | null {
    const signed = signedCommandSchema.safeParse(document);
    if (!signed.success || typeof document !== 'object' || document === null) {
      this.log.warn('command_unreadable', { problem: signed.error?.issues[0]?.message ?? 'no object' });
      return null;
    }
    // The signature covers the document as it came, fields that this version does not know included.
    const { signature, certificate, ...unsigned } = {
      ...document,
      signature: signed.data.signature,
      certificate: signed.data.certificate,
    };
    const id = signed.data.command_id;
    const certified = this.certificates.verify(certificate, this.clock.wallMs());
    if (certified?.purpose !== 'command' || !verifyDocument(certified.key, unsigned, signature)) {
      this.log.warn('command_refused', { command_id: id, code: 'BAD_SIGNATURE' });
      return Promise.resolve(
        refused(id, 'BAD_SIGNATURE', 'not signed by a key that this cluster certified for commands'),
      );
    }
    if (signed.data.node_id !== this.nodeId) {
      this.log.warn('command_refused', { command_id: id, code: 'NOT_ADDRESSEE', node_id: signed.data.node_id });
      return Promise.resolve(refused(id, 'NOT_ADDRESSEE', `this is ${this.nodeId}, not ${signed.data.node_id}`));
    }
    return this.apply(nodeCommandSchema.parse(unsigned));
  }

  private apply(command: NodeCommand): Promise<CommandAck> {
    const known = this.underWay.get(command.command_id);
    if (known !== undefined) return known;
    const before = this.tails.get(command.shard_id) ?? Promise.resolve();
    const ack = before
      .then(() => this.host.apply(command))
      .catch((error: unknown) => {
        this.log.error('command_failed', { command_id: command.command_id, type: command.type, error: String(error) });
        return refused(command.command_id, 'INTERNAL', 'the node failed while it applied the command');
      });
    this.underWay.set(command.command_id, ack);
    this.tails.set(command.shard_id, ack);
    void ack.then(() => {
      this.underWay.delete(command.command_id);
      if (this.tails.get(command.shard_id) === ack) this.tails.delete(command.shard_id);
    });
    return ack;
  }
}

const refused = (commandId: string, code: string, message: string): CommandAck => ({
  command_id: commandId,
  outcome: 'REFUSED',
  code,
  message,
  receipt: null,
});
