import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

/**
 * The network between the processes of a run: each node, and the control plane, is reached through a port of this process, which passes
 * bytes on, late, not at all, or not any more. It needs no rights and no kernel module, and it sees who calls whom.
 */

/** Node id, or one of the two below. */
export type Party = string;
export const CONTROL_PLANE: Party = 'control-plane';
export const CLIENTS: Party = 'clients';

/** What happens to the bytes that go one way. */
export type Effect =
  | { readonly kind: 'SLOW'; readonly delayMs: number }
  /** Nothing passes; it arrives when that ends, late, as retransmission has it. */
  | { readonly kind: 'STALLED' }
  /** Connections break, and new ones too. */
  | { readonly kind: 'BROKEN' };

export interface Disturbance {
  /** True for what goes from the one to the other. */
  readonly on: (from: Party, to: Party) => boolean;
  readonly effect: Effect;
}

const HOST = '127.0.0.1';
/** Bytes that one direction of a connection holds back before its sender has to wait. */
const HELD_BYTES_MAX = 4 * 1024 * 1024;
/** The head of a first request, in which its sender is looked for. */
const HEAD_BYTES_MAX = 64 * 1024;

export class Network {
  private readonly servers: Server[] = [];
  private readonly connections = new Set<Connection>();
  private readonly disturbances = new Set<Disturbance>();

  /** Answers a port by which `to` is reached, which listens on `port` itself. Whoever calls is told by `from`, or by the call itself. */
  async open(to: Party, port: number, from: Party | null): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => {
      const connection = new Connection(this, socket, { to, port, from });
      this.connections.add(connection);
      connection.ended = () => this.connections.delete(connection);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, HOST, resolve);
    });
    this.servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  /** Answers what ends it. */
  disturb(disturbance: Disturbance): () => void {
    this.disturbances.add(disturbance);
    for (const connection of this.connections) connection.changed();
    return () => {
      this.disturbances.delete(disturbance);
      for (const connection of this.connections) connection.changed();
    };
  }

  /** The worst that applies; null: bytes pass as they come. */
  effect(from: Party, to: Party): Effect | null {
    const effects = [...this.disturbances].filter(({ on }) => on(from, to)).map(({ effect }) => effect);
    const slow = effects.filter((effect) => effect.kind === 'SLOW');
    return (
      effects.find(({ kind }) => kind === 'BROKEN') ??
      effects.find(({ kind }) => kind === 'STALLED') ??
      slow.toSorted((left, right) => right.delayMs - left.delayMs)[0] ??
      null
    );
  }

  close(): void {
    for (const server of this.servers) server.close();
    for (const connection of [...this.connections]) connection.destroy();
  }
}

interface Link {
  readonly to: Party;
  readonly port: number;
  readonly from: Party | null;
}

class Connection {
  ended: () => void = () => undefined;
  private readonly network: Network;
  private readonly near: Socket;
  private readonly link: Link;
  private far: Socket | null = null;
  private from: Party | null;
  private flows: readonly Flow[] = [];
  private head = Buffer.alloc(0);

  constructor(network: Network, near: Socket, link: Link) {
    this.network = network;
    this.near = near;
    this.link = link;
    this.from = link.from;
    near.on('error', () => undefined); // 'close' follows
    near.on('close', () => {
      if (this.far === null) this.destroy();
    });
    near.on('data', this.readHead);
    if (this.from !== null) this.changed();
  }

  /** Another disturbance applies. */
  changed(): void {
    if (this.from === null) return;
    const broken = [this.network.effect(this.from, this.link.to), this.network.effect(this.link.to, this.from)].some(
      (effect) => effect?.kind === 'BROKEN',
    );
    if (broken) this.destroy();
    else for (const flow of this.flows) flow.pump();
  }

  destroy(): void {
    for (const flow of this.flows) flow.stop();
    this.near.destroy();
    this.far?.destroy();
    this.ended();
  }

  private readonly readHead = (chunk: Buffer): void => {
    this.head = Buffer.concat([this.head, chunk]);
    if (this.from === null && !this.head.includes('\r\n\r\n') && this.head.length < HEAD_BYTES_MAX) return;
    this.near.off('data', this.readHead);
    this.from ??= senderOf(this.head.toString('latin1'));
    this.join(this.from);
  };

  private join(from: Party): void {
    const { to, port } = this.link;
    const far = connect({ port, host: HOST, noDelay: true });
    this.far = far;
    far.on('error', () => undefined);
    const there = new Flow(this.near, far, () => this.network.effect(from, to));
    const back = new Flow(far, this.near, () => this.network.effect(to, from));
    this.flows = [there, back];
    there.take(this.head);
    let open = 2;
    const over = (): void => {
      if (--open === 0) this.ended();
    };
    this.near.on('close', over);
    far.on('close', over);
    // A dead process refuses: its caller learns at once that the connection is gone.
    far.once('close', (hadError) => {
      if (hadError) this.destroy();
    });
    this.changed();
  }
}

/** Bytes in one direction, in order. */
class Flow {
  private readonly source: Socket;
  private readonly target: Socket;
  private readonly effect: () => Effect | null;
  /** Null: the source has ended. */
  private readonly held: { readonly chunk: Buffer | null; readonly cameMs: number }[] = [];
  private heldBytes = 0;
  private timer: NodeJS.Timeout | null = null;
  private targetIsFull = false;

  constructor(source: Socket, target: Socket, effect: () => Effect | null) {
    this.source = source;
    this.target = target;
    this.effect = effect;
    source.on('data', (chunk: Buffer) => this.take(chunk));
    source.on('close', () => {
      this.held.push({ chunk: null, cameMs: performance.now() });
      this.pump();
    });
    target.on('drain', () => {
      this.targetIsFull = false;
      this.pump();
    });
    target.on('close', () => {
      this.stop();
    });
  }

  take(chunk: Buffer): void {
    this.held.push({ chunk, cameMs: performance.now() });
    this.heldBytes += chunk.length;
    if (this.heldBytes > HELD_BYTES_MAX) this.source.pause();
    this.pump();
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.held.length = 0;
    this.heldBytes = 0;
  }

  /** Passes on what may pass now. */
  pump(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const effect = this.effect();
    if (effect?.kind === 'STALLED') return;
    const delayMs = effect?.kind === 'SLOW' ? effect.delayMs : 0;
    for (let first = this.held[0]; first !== undefined && !this.targetIsFull; first = this.held[0]) {
      const waitMs = first.cameMs + delayMs - performance.now();
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.pump(), waitMs);
        return;
      }
      this.held.shift();
      if (first.chunk === null) {
        this.target.end();
        return;
      }
      this.heldBytes -= first.chunk.length;
      if (this.heldBytes <= HELD_BYTES_MAX && this.source.isPaused()) this.source.resume();
      this.targetIsFull = !this.target.write(first.chunk);
    }
  }
}

/**
 * Who sent a request: the node that its credential names, a client with its data token, and the control plane, whose commands are
 * signed and need no token. Not verified: a mistake here would only disturb the wrong link.
 */
export function senderOf(head: string): Party {
  const payload = /^authorization: bearer [\w-]+\.([\w-]+)\./im.exec(head)?.[1];
  if (payload === undefined) return CONTROL_PLANE;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    if (typeof claims !== 'object' || claims === null || !('kind' in claims) || !('sub' in claims)) return CLIENTS;
    return claims.kind === 'node' && typeof claims.sub === 'string' ? claims.sub : CLIENTS;
  } catch {
    return CLIENTS;
  }
}
