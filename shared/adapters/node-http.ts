import { Agent, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { pushResponseSchema } from '../contracts/node/commands.ts';
import type { Json } from '../domain/records.ts';
import { err, ok } from '../domain/result.ts';
import type { NodeAddress, NodeClient } from '../ports.ts';

/** Pushes commands to nodes over HTTP. Commands are signed (contracts/node), so the connection needs no token. */

/** Milliseconds for one push, connection included. A node that needs longer finds its commands in its mailbox. */
export const PUSH_TIMEOUT_MS = 500;
/** Connections kept to one node, and to all of them. */
const SOCKETS_PER_NODE_MAX = 4;
const SOCKETS_MAX = 512;
/** Milliseconds for which an idle connection is kept. */
const IDLE_SOCKET_MS = 15_000;
/** Bytes of one answer: 100 acknowledgements of at most about 2 KB. */
const ANSWER_BYTES_MAX = 1024 * 1024;
export const COMMANDS_PATH = '/node/commands';

export interface HttpNodeClient extends NodeClient {
  /** Ends the kept connections. */
  close(): void;
}

export function createHttpNodeClient(options: { readonly timeoutMs?: number } = {}): HttpNodeClient {
  const timeoutMs = options.timeoutMs ?? PUSH_TIMEOUT_MS;
  const agent = new Agent({
    keepAlive: true,
    keepAliveMsecs: IDLE_SOCKET_MS,
    maxSockets: SOCKETS_PER_NODE_MAX,
    maxTotalSockets: SOCKETS_MAX,
    timeout: IDLE_SOCKET_MS,
  });
  return {
    push: async (node, commands) => {
      try {
        const answer = await post(agent, node, JSON.stringify({ commands }), timeoutMs);
        const parsed = pushResponseSchema.safeParse(JSON.parse(answer));
        if (!parsed.success) return unreachable(node, 'its answer is not of the node protocol');
        return ok(parsed.data.acks as readonly Json[]);
      } catch (error) {
        return unreachable(node, error instanceof Error ? error.message : String(error));
      }
    },
    close: () => agent.destroy(),
  };
}

const unreachable = (
  node: NodeAddress,
  why: string,
): { ok: false; error: { code: 'NODE_UNREACHABLE'; message: string } } =>
  err({ code: 'NODE_UNREACHABLE', message: `${node.nodeId} at ${node.host}:${node.port}: ${why}` });

function post(agent: Agent, node: NodeAddress, body: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        agent,
        host: node.host,
        port: node.port,
        path: COMMANDS_PATH,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        signal: AbortSignal.timeout(timeoutMs),
      },
      (answer) => void readAnswer(answer).then(resolve, reject),
    );
    outgoing.on('error', (error) =>
      reject(error.name === 'AbortError' ? new Error(`no answer within ${timeoutMs} ms`, { cause: error }) : error),
    );
    outgoing.end(body);
  });
}

async function readAnswer(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`answer of more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  if (answer.statusCode !== 200) throw new Error(`HTTP status ${answer.statusCode ?? 0}`);
  return Buffer.concat(chunks).toString('utf8');
}
