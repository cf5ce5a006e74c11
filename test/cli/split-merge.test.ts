import { shardctlAgainstServer } from '../support/shardctl.ts';

const cli = shardctlAgainstServer();

async function shardctl(args: string[], body: unknown) {
  cli.reply = () => ({ status: 200, body });
  return { ...(await cli.run(args)), requests: cli.requests() };
}

const started = (operationId: string | null) => ({
  status: 'success',
  message: 'a message',
  operation_id: operationId,
});
const splitPlan = { shard_id: 'shard-1', generation: 7, split_key: 'm', nodes: ['node-101'] };
const mergePlan = {
  shard_id: 'shard-1',
  with_shard_id: 'shard-2',
  generation: 7,
  with_generation: 9,
  nodes: ['node-101', 'node-102'],
  moves: [{ shard_id: 'shard-2', add: ['node-102'], remove: ['node-103'] }],
  transfers_leader: true,
};

describe('shardctl shards', () => {
  test('split --at asks for that key and names the operation', async () => {
    const answer = { ...started('op-1'), shard_id: 'shard-1', plan: splitPlan };
    const { code, out, requests } = await shardctl(['shards', 'split', 'shard-1', '--at', 'm'], answer);
    expect(code).toBe(0);
    expect(requests).toMatchObject([{ method: 'POST', body: { split_key: 'm' } }]);
    expect(requests[0]?.target).toMatch(/\/shards\/shard-1\/split$/);
    expect(out).toContain('op-1');
  });

  test('merge --dry-run tells what is moved first, and starts nothing', async () => {
    const answer = { ...started(null), shard_id: 'shard-1', with_shard_id: 'shard-2', plan: mergePlan };
    const { code, out, requests } = await shardctl(
      ['shards', 'merge', 'shard-2', '--with', 'shard-1', '--dry-run'],
      answer,
    );
    expect(code).toBe(0);
    expect(requests).toMatchObject([{ method: 'POST', body: { with_shard_id: 'shard-1', dry_run: true } }]);
    expect(out).toMatch(/shard-2: node-103 -> node-102/);
    expect(out).not.toContain('operation');
  });
});
