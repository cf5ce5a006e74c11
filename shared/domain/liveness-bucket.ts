import { invariant } from './result.ts';

const FNV_OFFSET_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * Bucket (0 to `buckets` - 1) of an id, the same in every process and release: FNV-1a over the id's UTF-16 units. Spreads liveness
 * items and events over partitions of the store (LIVENESS_BUCKETS and EVENT_BUCKETS in ports.ts). Ids are ASCII.
 */
export function stableBucket(id: string, buckets: number): number {
  invariant(Number.isInteger(buckets) && buckets > 0, `a number of buckets is a positive integer, not ${buckets}`);
  let hash = FNV_OFFSET_BASIS;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), FNV_PRIME);
  return (hash >>> 0) % buckets;
}
