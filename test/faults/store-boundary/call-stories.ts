import type { CallInput } from '../../../shared/contracts/api/call.ts';
import type { CallName, Calls } from '../../../shared/contracts/api/index.ts';
import { calls } from '../../../shared/contracts/api/index.ts';
import { currentRevision, etagOf, subjectOf } from '../../../shared/runtime/if-match.ts';
import type { HttpAnswer } from '../../../shared/runtime/problem.ts';
import { registered } from '../../support/use-case-world.ts';
import { checkHistory } from '../../support/world-checks.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import type { Judge } from '../../support/outside-calls.ts';
import { proposeAllCopies } from '../move-scenario.ts';
import { createdTable, openOperations, ticksOff } from '../scenario-kit.ts';
import { requestOf, sendTo, tokenOf } from './front-door.ts';
import type { StoreFaultKind } from './faults.ts';
import { probes } from './probes.ts';
import type { Probe } from './probes.ts';
import { furtherRequests } from './further-requests.ts';
import type { FurtherRequest } from './further-requests.ts';
import type { Story } from './stories.ts';

/** One request, sent until it gets its answer: for every call of the API, and for ways through a call that its first probe does not take. */

const RETRY_MS = 1_000;
const ATTEMPTS_MAX = 60;
/** A claim without an answer is its holder's for 40 s (shared/runtime/idempotency.ts). */
const CLAIM_LEFT_MS = 41_000;

const codeOf = ({ status, body }: HttpAnswer): string =>
  status === 200 ? '200' : `${status} ${(body as { code?: string }).code ?? ''}`;

const REFUSED_BY_STORE: ReadonlySet<StoreFaultKind> = new Set(['throttled', 'conflict', 'answer-lost', 'outage']);
/** The store's own state may be told (429, 503); whatever another caller does is no failure of the server. */
const allowed = (fault: StoreFaultKind | null, status: number): boolean =>
  status < 500 || (status === 503 && fault !== null && REFUSED_BY_STORE.has(fault));

/** What asks for the same request again: outage, overload, a race that was lost. */
const isUnsettled = ({ status, headers, body }: HttpAnswer): boolean =>
  status >= 500 || headers['retry-after'] !== undefined || (body as { code?: string }).code === 'CONFLICT';

/** Operations have ended, and transfers: a request that was refused its second time may have written an intent the first time, and the tick goes on with it. */
const allEnded = (world: MortalWorld): Promise<void> =>
  world.until(async () => {
    await proposeAllCopies(world);
    const intents = await world.base.records.query('openIntent', { partition: {}, order: 'forward', limit: 1 });
    return intents.items.length === 0 && (await openOperations(world)) === 0;
  });

/** What a client sends stays what it sends, however the world changes meanwhile. */
interface Sent<N extends CallName> {
  readonly input: CallInput<Calls[N]>;
  readonly token: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function composed<N extends CallName>(
  world: MortalWorld,
  name: N,
  probe: Probe<N>,
  withRevision: boolean,
): Promise<Sent<N>> {
  const input = await probe.input(world);
  const token = probe.token?.(world) ?? tokenOf(probe.principal);
  const subject = withRevision ? subjectOf(calls[name], input.params as Readonly<Record<string, unknown>>) : null;
  if (subject === null) return { input, token, headers: {} };
  const revision = await currentRevision(world.base.deps, subject);
  return { input, token, headers: { 'If-Match': etagOf(revision ?? 0) } };
}

function storyOfCall<N extends CallName>(
  label: string,
  name: N,
  probe: Probe<N>,
  { prepare, withRevision = false, claimIsLeft = false }: Partial<FurtherRequest<N>> = {},
): Story {
  /** Answers that a repeated request may get because it meets the effect of the one before: learned once, in an undisturbed world. */
  const metItself = new Set<string>();
  const requests = new WeakMap<MortalWorld, Sent<N>>();
  const takesKey = 'idempotent' in calls[name];
  const send = async (world: MortalWorld, key: string | null, judge?: Judge): Promise<HttpAnswer> => {
    const sent = requests.get(world) ?? (await composed(world, name, probe, withRevision));
    requests.set(world, sent);
    const headers = { ...sent.headers, ...(takesKey && key !== null ? { 'Idempotency-Key': key } : {}) };
    const request = requestOf(name, sent.input, sent.token, headers);
    return world.invoke(`api-${name}`, (deps) => sendTo(deps, request), judge);
  };
  return {
    name: label,
    prepare: async (world) => {
      await ticksOff(world);
      await registered(world.base, 4);
      await createdTable(world, { pre_split: ['h'], replication_factor: 3 });
      await prepare?.(world);
      if (!claimIsLeft) return;
      // Its process died when it had claimed the key.
      await send(world, 'key-1', ({ effects }) => (effects === 1 ? { dies: 'AFTER' } : null)).catch(() => null);
      await world.base.deps.timers.sleep(CLAIM_LEFT_MS);
    },
    act: async (world, fault) => {
      const problems: string[] = [];
      const first = await send(world, 'key-1');
      if (!allowed(fault, first.status))
        problems.push(`it answered ${codeOf(first)}: ${JSON.stringify(first.body)} ${failureIn(world)}`);
      let last = first;
      for (let attempt = 1; isUnsettled(last) && attempt < ATTEMPTS_MAX; attempt++) {
        await world.base.deps.timers.sleep(RETRY_MS);
        last = await send(world, 'key-1');
      }
      if (isUnsettled(last)) problems.push(`retries did not reach an end: ${codeOf(last)}`);
      if (fault === null) {
        metItself.add(codeOf(last));
        metItself.add(codeOf(await send(world, 'key-2')));
      } else if (!metItself.has(codeOf(last)))
        problems.push(`it ended in ${codeOf(last)}, undisturbed in ${[...metItself].join('|')}`);
      await allEnded(world);
      // What another caller began may have ended before the answer.
      if (fault === null) metItself.add(codeOf(await send(world, 'key-3')));
      await allEnded(world);
      return problems;
    },
    moveOn: async (world) => void (await send(world, null)),
    judge: (world) => Promise.resolve(checkHistory(world.base.committed, world.receipts)),
  };
}

/** The last failure in the log: what a 500 hides. */
const failureIn = (world: MortalWorld): string =>
  String(
    (world.base.log.lines.findLast(({ level }) => level === 'error')?.fields as { error?: unknown } | undefined)?.error,
  );

export const callStories = (): readonly Story[] => [
  ...(Object.entries(probes) as [CallName, Probe][]).map(([name, probe]) => storyOfCall(`call ${name}`, name, probe)),
  ...furtherRequests.map((one) => storyOfCall(`call ${one.name}: ${one.how}`, one.name, one.probe, one)),
];
