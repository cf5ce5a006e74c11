import * as z from 'zod';

/** What the structure tick reads of the statistics that nodes sent, and what it remembers from beat to beat; read leniently, as other releases wrote it. */
export const shardLoadsSchema = z.object({
  busiest: z.array(
    z.object({
      shard_id: z.string(),
      role: z.string(),
      serving: z.boolean(),
      bytes: z.number(),
      reads_per_second: z.number().default(0),
      writes_per_second: z.number().default(0),
      busy_ms_per_second: z.number().default(0),
      load_split: z.object({ key: z.string(), left_share: z.number() }).optional(),
    }),
  ),
});

/** By shard id: since when it has been so, and when it was last seen so; wall clock. */
const seenSinceSchema = z.record(z.string(), z.object({ since_ms: z.number(), seen_ms: z.number() }));
export type SeenSince = z.infer<typeof seenSinceSchema>;
export const carriedSchema = z.object({ busy: seenSinceSchema, cold: seenSinceSchema });
