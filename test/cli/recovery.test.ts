import { shardctlAgainstServer } from '../support/shardctl.ts';

const cli = shardctlAgainstServer();

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
  cli.received.length = 0;
  cli.reply = () => ({ status: 200, body });
  return { ...(await cli.run(args, { files })), requests: cli.requests() };
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
