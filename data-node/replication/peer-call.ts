import type * as z from 'zod';
import { replicationErrorSchema } from '../../shared/contracts/node/replication.ts';
import type { ReplicationError } from '../../shared/contracts/node/replication.ts';
import type { Json } from '../../shared/domain/records.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { PeerNetwork } from '../ports.ts';

export type PeerFailure = ReplicationError | { readonly code: 'UNREACHABLE'; readonly message: string };

export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** One request to a follower, its answer parsed. An answer that is no answer of the protocol counts as UNREACHABLE. */
export async function callPeer<S extends z.ZodType>(
  peers: PeerNetwork,
  address: PeerAddress,
  request: { readonly verb: 'open' | 'append' | 'snapshot'; readonly body: Json; readonly timeoutMs: number },
  answerSchema: S,
): Promise<Result<z.infer<S>, PeerFailure>> {
  const answer = await peers.call(address, `/replication/${request.verb}`, request.body, {
    timeoutMs: request.timeoutMs,
  });
  if (!answer.ok) return err(answer.error);
  if (answer.value.status === 200) {
    const parsed = answerSchema.safeParse(answer.value.body);
    if (parsed.success) return ok(parsed.data);
  }
  const refusal = replicationErrorSchema.safeParse(answer.value.body);
  if (refusal.success) return err(refusal.data);
  return err({ code: 'UNREACHABLE', message: `unexpected answer with status ${answer.value.status}` });
}
