import { runCli } from '../../cli/program.ts';
import type { ClientNetwork } from '../../client/ports.ts';
import { systemEnvironment } from '../../client/index.ts';

const plan = {
  shard_id: 'shard-1',
  table: 'rows',
  kind: 'UNCLEAN',
  generation: 7,
  epoch: 3,
  candidate: { replica_id: 'r-3', node_id: 'node-103' },
  log_end: { epoch: 2, seq: 41 },
  lost: [{ replica_id: 'r-1', node_id: 'node-101', reason: 'NODE_AWAY' }],
  rejected: [],
  behind_entries: null,
  missing_epochs: 1,
  explanation: 'node-103 becomes the leader although it may lack acknowledged writes',
};
const answered = {
  status: 'success',
  message: '',
  dry_run: true,
  plans: [plan],
  refused: [],
  more: false,
  recovered: [],
};

async function shardctl(args: string[], files: Record<string, string> = {}, body: unknown = answered) {
  let out = '';
  let err = '';
  const requests: { method: string; url: string; body: unknown }[] = [];
  const network: ClientNetwork = {
    call: async (request) => {
      requests.push({ method: request.method, url: request.url, body: request.body });
      return { kind: 'ANSWERED', status: 200, body, retryAfterMs: null } as never;
    },
  };
  const code = await runCli(args, {
    env: { SHARDKEEPER_URL: 'http://127.0.0.1:1', SHARDKEEPER_TOKEN: 'secret' },
    network,
    environment: systemEnvironment,
    readFile: (path) => files[path] ?? null,
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return { code, out, err, requests };
}

describe('shardctl recovery', () => {
  test('a plan is shown in words, and asked for as a dry run', async () => {
    const { code, out, requests } = await shardctl(['recovery', 'plan', '--table', 'rows']);
    expect(code).toBe(0);
    expect(out).toMatch(/shard-1.*UNCLEAN.*node-103.*2\/41.*may lack acknowledged writes/);
    expect(requests).toMatchObject([{ method: 'POST', body: { dry_run: true, table: 'rows' } }]);
  });

  test('what --json prints is what apply takes, unchanged; the loss has to be acknowledged by hand', async () => {
    const { out } = await shardctl(['recovery', 'plan', '--json']);
    const files = { 'plan.json': out };
    const careless = await shardctl(['recovery', 'apply', 'plan.json'], files);
    expect(careless.requests).toMatchObject([{ body: { plans: [plan], acknowledge_data_loss: false } }]);
    const agreed = await shardctl(['recovery', 'apply', 'plan.json', '--acknowledge-data-loss'], files);
    expect(agreed.requests).toMatchObject([{ body: { plans: [plan], acknowledge_data_loss: true } }]);
  });

  test.each([
    ['no file', {}, 'NO_FILE'],
    ['no JSON', { 'plan.json': 'hello' }, 'BAD_PLAN'],
    ['no plan in it', { 'plan.json': '{"plans":[]}' }, 'BAD_PLAN'],
  ])('%s: a usage error, and no request', async (_, files, error) => {
    const { code, err, requests } = await shardctl(['recovery', 'apply', 'plan.json'], files);
    expect({ code, requests }).toEqual({ code: 2, requests: [] });
    expect(err).toContain(error);
  });
});
