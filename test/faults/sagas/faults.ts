/** What goes wrong with the first invocation of a state that a fault meets. */
export const FAULT_KINDS = {
  'fails-before': 'the invocation fails, and nothing was done',
  'fails-after': 'everything was done, and the answer is lost',
  repeated: 'it is invoked twice, the second time 3 ms after the first',
  'repeated-after': 'it is invoked again after it ended, before its answer counts',
  late: 'the same invocation comes again, when the operation is in another state',
  'late-after-end': 'the same invocation comes again, when the operation has ended',
  crashed: 'the function is killed at one of its effects: before the first, after each',
  frozen: 'the function stands still before one of its effects, and goes on when the operation is in another state',
  'frozen-past-end': 'the same, and it goes on when the operation has ended',
  'execution-lost': 'the execution is gone after the step: the reconcile tick continues the operation',
  'nodes-silent': 'from here on no node answers for 20 s',
  paused: 'a pause is asked for before it, and the operation is resumed at rest',
  cancelled: 'a cancel is accepted before it',
  'cancelled-beside': 'a cancel is asked for while it runs',
  'fails-for-long': 'it fails as often as it takes to reach its Catch',
  redriven: 'the same, and the operation is redriven when it has failed',
} as const;
export type FaultKind = keyof typeof FAULT_KINDS;

export interface Fault {
  readonly state: string;
  readonly kind: FaultKind;
  /** Of `crashed` and those that stand still: number of the effect; crashed at 0: before the first. */
  readonly effect?: number;
}

/** Retries alone get an operation over these: it ends APPLIED. */
export const TRANSIENT: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'fails-before',
  'fails-after',
  'repeated',
  'repeated-after',
  'late',
  'late-after-end',
  'crashed',
  'frozen',
  'frozen-past-end',
  'execution-lost',
  'nodes-silent',
  'paused',
]);

export const nameOf = ({ state, kind, effect }: Fault): string =>
  effect === undefined ? `${state} ${kind}` : `${state} ${kind}@${effect}`;

/** The other way round; throws if the name is none. */
export function faultNamed(name: string): Fault {
  const [state = '', rest = ''] = name.trim().split(/ +/);
  const [kind = '', effect] = rest.split('@');
  if (!Object.hasOwn(FAULT_KINDS, kind))
    throw new Error(`no fault ${name}: a state, then one of ${Object.keys(FAULT_KINDS).join(', ')}`);
  return { state, kind: kind as FaultKind, ...(effect === undefined ? {} : { effect: Number(effect) }) };
}
