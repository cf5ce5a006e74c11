import { checkTransition } from '../../shared/domain/invariants.ts';
import { generation, nodeEpoch, operationId } from '../../shared/domain/ids.ts';
import type { Replica, ShardDescriptor } from '../../shared/domain/shard.ts';
import { aLease, aReplica, aShard } from '../support/shards.ts';

const owned = (replicas: readonly Replica[], owner = 'op-1'): ShardDescriptor =>
  aShard({ replicas, over: { state: { kind: 'CHANGING_REPLICAS', operationId: operationId(owner) } } });
const next = (shard: ShardDescriptor, replicas: readonly Replica[], over: Partial<ShardDescriptor> = {}) => ({
  ...shard,
  generation: generation(shard.generation + 1),
  replicas,
  ...over,
});
const found = (before: ShardDescriptor, after: ShardDescriptor, fenced = 0): string[] =>
  checkTransition(before, after, {
    liveness: (nodeId) => {
      const node = Number(nodeId.slice('node-'.length));
      return aLease(node, node === fenced ? { nodeEpoch: nodeEpoch(2) } : {});
    },
    replicationFactor: () => 3,
  }).map(({ invariant, rule }) => `${invariant} ${rule ?? ''}`.trim());

const three = [aReplica(1), aReplica(2), aReplica(3)];
const four = [...three, aReplica(4)];

describe('rows "add replica" and "remove replica" of the table of transitions', () => {
  test.each<[string, ShardDescriptor, ShardDescriptor, number, string[]]>([
    [
      'a LAGGING replica is added by the owner',
      owned(three),
      next(owned(three), [...three, aReplica(4, 'LAGGING')]),
      0,
      [],
    ],
    ['one is removed, three stay', owned(four), next(owned(four), [four[0]!, four[2]!, four[3]!]), 0, []],
    ['one is added IN_SYNC', owned(three), next(owned(three), four), 0, ['I-6 R2', 'I-7 R4']],
    ['nobody owns the shard', aShard({ replicas: four }), next(aShard({ replicas: four }), three), 0, ['I-9']],
    ['two would be left of three', owned(three), next(owned(three), three.slice(0, 2)), 0, ['I-7 S3']],
    ['a survivor is fenced', owned(four), next(owned(four), three), 3, ['I-7 S3']],
    ['the fenced one leaves', owned(four), next(owned(four), three), 4, []],
  ])('%s', (_what, before, after, fenced, expected) => {
    expect(found(before, after, fenced)).toEqual(expected);
  });
});
