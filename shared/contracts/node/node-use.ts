import * as z from 'zod';

/**
 * What placement uses of a node's stored statistics (heartbeat.ts). Every part may be missing: the record was made by a node of
 * another release, or the node does not tell.
 */
export const nodeUseSchema = z.object({
  /** Bytes of all shards on the node. */
  bytes: z.number().min(0).optional(),
  /** The file system that holds its data. */
  disk: z.object({ capacity_bytes: z.number().min(0), used_bytes: z.number().min(0) }).optional(),
  /** Latency of its clients' requests, 99th percentile, ms. */
  client_ms_p99: z.number().min(0).optional(),
  /** Time of a durable write, 99th percentile, ms. */
  fsync_ms_p99: z.number().min(0).optional(),
  /** Its disk refuses writes. */
  disk_full: z.boolean().optional(),
  shards: z.number().min(0).optional(),
  leaders: z.number().min(0).optional(),
  busiest: z
    .array(
      z.object({
        shard_id: z.string(),
        bytes: z.number().min(0),
        reads_per_second: z.number().min(0).optional(),
        writes_per_second: z.number().min(0).optional(),
      }),
    )
    .optional(),
});
