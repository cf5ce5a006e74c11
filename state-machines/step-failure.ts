import { BEGIN } from '../shared/domain/operation.ts';
import type { Json, OperationRecord } from '../shared/domain/records.ts';
import { fieldsOf } from './step.ts';
import type { StepFailure } from './step.ts';

/** Which step an execution gave up on, and why, from what its state machine caught. */

/** Enough for the sentence that names the reason; a stack stays in the log. */
const REASON_CHARACTERS_MAX = 500;
/** Why a Task ended that nobody answered in time; everything else is told by the step's own error. */
const TIMEOUTS: ReadonlySet<string> = new Set(['States.Timeout', 'States.HeartbeatTimeout']);

/** A step that threw: what the state machine catches of it says which one. */
export class StepThrew extends Error {
  override readonly name = 'StepThrew';
  constructor(step: string, cause: unknown) {
    const { name, message } = cause instanceof Error ? cause : { name: 'Error', message: String(cause) };
    super(`${step}: ${name === 'Error' ? '' : `${name}: `}${message}`, { cause });
  }
}
const THREW = /^([a-z-]+): (.*)$/s;

/** What of a machine tells the failed step. */
interface Steps {
  readonly steps: Readonly<Record<string, unknown>>;
  readonly resume: (operation: OperationRecord) => string;
}

/**
 * `caught`: the state of the execution, as the Tasks `roll-back` and `fail` get it: the tag that led to the failed Task (`result.next`; none led
 * to the first one) and the error as Step Functions names it (`error`). Null if nothing was caught.
 */
export function stepFailure(caught: Json, operation: OperationRecord, machine: Steps): StepFailure | null {
  const { result = null, error = null } = fieldsOf(caught);
  const { Error: name, Cause: cause } = fieldsOf(error);
  if (typeof name !== 'string') return null;
  const text = typeof cause === 'string' ? messageIn(cause) : '';
  const [, threw, message] = (name === 'StepThrew' && THREW.exec(text)) || [];
  if (threw !== undefined && message !== undefined) return { step: threw, reason: short(message) };
  // Ended from outside, by its time limit for example: the step is the one that the tag before it leads to.
  return { step: stepAfter(fieldsOf(result)['next'], operation, machine), reason: reasonOf(name, text) };
}

function stepAfter(tag: Json | undefined, operation: OperationRecord, machine: Steps): string {
  if (typeof tag !== 'string') return BEGIN;
  // After a wait for nodes the tag says that all answered: then the step that began the wait stands for what follows it.
  return Object.hasOwn(machine.steps, tag) ? tag : machine.resume(operation);
}

function reasonOf(name: string, text: string): string {
  if (TIMEOUTS.has(name)) return `it did not end in time (${name})`;
  return short(text === '' ? name : name === 'Error' ? text : `${name}: ${text}`);
}

const short = (reason: string): string =>
  reason.length <= REASON_CHARACTERS_MAX ? reason : `${reason.slice(0, REASON_CHARACTERS_MAX)}...`;

/** Lambda reports an error as JSON, the runner on one machine and a task token that failed as its text. */
function messageIn(cause: string): string {
  try {
    const message = fieldsOf(JSON.parse(cause) as Json)['errorMessage'];
    return typeof message === 'string' ? message : cause;
  } catch {
    return cause;
  }
}
