import type { CallInput, ResponseOf } from '../contracts/api/call.ts';
import type { CallName, Calls } from '../contracts/api/index.ts';
import type { Fault } from '../domain/faults.ts';
import type { Result } from '../domain/result.ts';
import type { Deps, Principal } from '../ports.ts';

/** Behaviour of one API call: load, decide, one conditional commit. Input is validated; authorization of the caller's kind is done. */
export type UseCase<N extends CallName> = (
  deps: Deps,
  principal: Principal,
  input: CallInput<Calls[N]>,
) => Promise<Result<ResponseOf<Calls[N]>, Fault>>;
