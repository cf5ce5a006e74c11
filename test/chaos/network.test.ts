import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { CLIENTS, CONTROL_PLANE, Network, senderOf } from './network.ts';

const token = (claims: object): string => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
const head = (claims: object | null): string =>
  `POST / HTTP/1.1\r\nhost: x\r\n${claims === null ? '' : `authorization: Bearer ${token(claims)}\r\n`}\r\n`;
const NODE_2 = head({ kind: 'node', sub: 'node-2' });

test.each<[string, object | null, string]>([
  ['a node by its credential', { kind: 'node', sub: 'node-7' }, 'node-7'],
  ['a client by its data token', { kind: 'data', sub: 'admin' }, CLIENTS],
  ['the control plane, which needs none', null, CONTROL_PLANE],
])('who calls is seen: %s', (_, claims, party) => {
  expect(senderOf(head(claims))).toBe(party);
});

describe('bytes between two parties', () => {
  const network = new Network();
  const sockets: Socket[] = [];
  let echo: Server;
  let port: number;

  beforeAll(async () => {
    echo = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    port = await network.open('node-1', (echo.address() as AddressInfo).port, null);
  });

  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    network.close();
    echo.close();
  });

  /** A connection over which the first request was answered. */
  const connected = async (text: string): Promise<Caller> => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    const caller = new Caller(socket);
    await caller.send(text);
    return caller;
  };

  it('pass, of any size', async () => {
    const caller = await connected(NODE_2);
    await caller.send('x'.repeat(6_000_000));
  });

  it('are late on a slow link, and on that one only', async () => {
    const [slow, quick] = await Promise.all([connected(NODE_2), connected(head({ kind: 'data', sub: 'c' }))]);
    const heal = network.disturb({
      on: (from, to) => from === 'node-2' && to === 'node-1',
      effect: { kind: 'SLOW', delayMs: 120 },
    });
    const startMs = performance.now();
    const slowMs = slow.send('late').then(() => performance.now() - startMs);
    await quick.send('at once');
    expect(slow.received).not.toContain('late');
    expect(await slowMs).toBeGreaterThanOrEqual(119);
    heal();
  });

  it.each([
    ['requests', 'node-2', 'node-1'],
    ['answers', 'node-1', 'node-2'],
  ])('wait while %s are held up, and arrive afterwards', async (_, from, to) => {
    const [held, free] = await Promise.all([connected(NODE_2), connected(head(null))]);
    const heal = network.disturb({ on: (one, other) => one === from && other === to, effect: { kind: 'STALLED' } });
    const answered = held.send('waits');
    await free.send('goes on');
    expect(held.received).not.toContain('waits');
    heal();
    await answered;
  });

  it('do not pass broken links: connections end, and new ones too', async () => {
    const [broken, free] = await Promise.all([connected(NODE_2), connected(head(null))]);
    const heal = network.disturb({ on: (from) => from === 'node-2', effect: { kind: 'BROKEN' } });
    await broken.closed;
    await expect(connected(NODE_2)).rejects.toThrow('closed');
    await free.send('goes on');
    heal();
    await connected(NODE_2);
  });
});

class Caller {
  received = '';
  readonly closed: Promise<void>;
  private readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (text: string) => (this.received += text));
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /** Sends it and waits until it has come back. */
  async send(text: string): Promise<void> {
    this.received = '';
    this.socket.write(text);
    const echoed = new Promise<void>((resolve) => {
      const look = (): void => {
        if (this.received.length < text.length) return;
        this.socket.off('data', look);
        resolve();
      };
      this.socket.on('data', look);
    });
    await Promise.race([
      echoed,
      this.closed.then(() => {
        throw new Error('closed');
      }),
    ]);
  }
}
