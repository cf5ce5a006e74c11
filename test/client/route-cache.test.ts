import { LeaderBook, TableRoutes } from '../../client/route-cache.ts';
import { compareKeys, encodeKey } from '../../shared/contracts/keys.ts';
import type { Route } from '../../shared/contracts/data/rows.ts';
import { seededRandom } from '../simulation/random.ts';
import { route } from './support.ts';

const encoded = (key: string) => {
  const result = encodeKey('string', key);
  if (!result.ok) throw new Error(result.error.code);
  return result.value;
};

describe('the route cache', () => {
  test('answers as a plain search over the newest routes does, through splits, merges and stale arrivals', () => {
    const random = seededRandom('route-cache');
    // Keys on both sides of the surrogates, where UTF-16 order is not byte order.
    const alphabet = ['a', 'b', 'm', 'z', 'é', '\u{1f600}', '\u{ff5e}', '\u{e000}', '\u{10000}'];
    const keys = [
      ...new Set(
        Array.from({ length: 1_500 }, () => random.pick(alphabet) + random.pick(alphabet) + random.below(400)),
      ),
    ];
    keys.sort((left, right) => compareKeys(encoded(left), encoded(right)));
    const cache = new TableRoutes('string', new LeaderBook());
    let model: Route[] = [];
    for (let step = 1; step <= 3_000; step++) {
      cache.lookup(keys[step % keys.length]!); // so that indexes exist, and must follow the change
      const from = random.below(keys.length);
      const to = from + 1 + random.below(4);
      const learned = route({
        shard_id: random.chance(0.8) ? `shard-${step}` : random.pick(model.length > 0 ? model : [route()]).shard_id,
        start_key: from === 0 ? '' : keys[from]!,
        end_key: keys[to] ?? null,
        generation: random.below(100),
      });
      cache.learn(learned);
      const overlaps = (other: Route): boolean =>
        (learned.end_key === null ||
          other.start_key === '' ||
          compareKeys(encoded(other.start_key), encoded(learned.end_key)) < 0) &&
        (other.end_key === null ||
          learned.start_key === '' ||
          compareKeys(encoded(learned.start_key), encoded(other.end_key)) < 0);
      const stale = model.some(
        (other) => overlaps(other) && other.shard_id === learned.shard_id && other.generation > learned.generation,
      );
      if (!stale) model = [...model.filter((other) => !overlaps(other)), learned];
    }
    expect(cache.size).toBe(model.length);
    expect(cache.size).toBeGreaterThan(300);
    for (const key of keys) {
      const expected = model.find(
        ({ start_key, end_key }) =>
          (start_key === '' || compareKeys(encoded(key), encoded(start_key)) >= 0) &&
          (end_key === null || compareKeys(encoded(key), encoded(end_key)) < 0),
      );
      expect({ key, shard: cache.lookup(key)?.shardId }).toEqual({ key, shard: expected?.shard_id });
    }
  });

  test('int64 keys are ordered as numbers', () => {
    const cache = new TableRoutes('int64', new LeaderBook());
    cache.learn(route({ key_type: 'int64', shard_id: 'low', end_key: '-5' }));
    cache.learn(route({ key_type: 'int64', shard_id: 'middle', start_key: '-5', end_key: '10' }));
    cache.learn(route({ key_type: 'int64', shard_id: 'high', start_key: '10' }));
    const found = ['-6', '-5', '9', '10', '99', 'no number'].map((key) => cache.lookup(key)?.shardId);
    expect(found).toEqual(['low', 'middle', 'middle', 'high', 'high', undefined]);
  });

  test('the address of a node is that of its highest node epoch', () => {
    const cache = new TableRoutes('string', new LeaderBook());
    const at = (port: number, nodeEpoch: number) => ({ node_id: 'n1', host: 'h', port, node_epoch: nodeEpoch });
    cache.learn(route({ shard_id: 'a', end_key: 'm', leader: at(1, 1) }));
    cache.learn(route({ shard_id: 'b', start_key: 'm', leader: at(2, 2) }));
    cache.learn(route({ shard_id: 'c', start_key: 'x', leader: at(1, 1) }));
    expect(['a', 'm', 'x'].map((key) => cache.lookup(key)?.leader.port)).toEqual([2, undefined, 2]);
  });
});
