import type { CallInput } from '../../../shared/contracts/api/call.ts';
import { calls } from '../../../shared/contracts/api/index.ts';
import type { CallName, Calls } from '../../../shared/contracts/api/index.ts';
import { requestHash, withIdempotency } from '../../../shared/runtime/idempotency.ts';
import { faultOf, problemAnswer } from '../../../shared/runtime/problem.ts';
import type { HttpAnswer } from '../../../shared/runtime/problem.ts';
import type { Deps } from '../../../shared/ports.ts';
import { registered } from '../../support/use-case-world.ts';
import { checkHistory } from '../../support/world-checks.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import { everyWay } from '../sagas/enumerate.ts';
import type { Way } from '../sagas/enumerate.ts';
import { createdTable, openOperations, shardsOf, ticksOff } from '../scenario-kit.ts';
import { proposeAllCopies } from '../move-scenario.ts';
import { lostNodes } from '../wave-scenarios.ts';
import { background } from './background.ts';
import { probes } from './probes.ts';
import type { Probe } from './probes.ts';
import type { StoreFaultKind } from './faults.ts';

/** What runs while a call of the store goes wrong: every operation of the registry, and every call of the API. */

export interface Story {
  readonly name: string;
  readonly prepare: (world: MortalWorld) => Promise<void>;
  /** Runs to its end; answers what is wrong with the answers that were given on the way. `fault`: what goes wrong, once; null: nothing. */
  readonly act: (world: MortalWorld, fault: StoreFaultKind | null) => Promise<string[]>;
  /** The world moves on: between a read and what is done with it. */
  readonly moveOn: (world: MortalWorld) => Promise<void>;
  /** What is wrong with what came of it. */
  readonly judge: (world: MortalWorld) => Promise<string[]>;
}

/** Longer than a step may take: Step Functions has run it again meanwhile. */
const STEP_FORGOTTEN_MS = 65_000;
const RETRY_MS = 1_000;
const ATTEMPTS_MAX = 60;

const settled = (
  world: MortalWorld,
  tend?: (world: MortalWorld) => Promise<void>,
  reached?: (world: MortalWorld) => Promise<boolean>,
): Promise<void> =>
  world.until(async () => {
    await tend?.(world);
    return (await openOperations(world)) === 0 && ((await reached?.(world)) ?? true);
  });

const storyOf = ({ name, saga }: Way): Story => ({
  name,
  prepare: async (world) => {
    await ticksOff(world);
    await saga.prepare?.(world);
  },
  act: async (world) => {
    await saga.request(world);
    await settled(world, saga.tend, saga.reached);
    return [];
  },
  moveOn: (world) => world.base.deps.timers.sleep(STEP_FORGOTTEN_MS),
  judge: async (world) => {
    const shards = await shardsOf(world);
    const lost = lostNodes(world);
    return [
      ...checkHistory(world.base.committed, world.receipts),
      ...world.copies.orphans(shards, lost),
      ...world.copies.missing(shards, lost),
      ...(await saga.outcome(world)),
    ];
  },
});

/** One request as the gateway has it answered; `key`: under an idempotency key, where the call takes one. */
async function ask<N extends CallName>(
  world: MortalWorld,
  name: N,
  { useCase, principal }: Probe<N>,
  given: CallInput<Calls[N]>,
  key: string | null,
): Promise<HttpAnswer> {
  const work = async (deps: Deps): Promise<HttpAnswer> => {
    const result = await useCase(deps, principal, given);
    if (!result.ok) return problemAnswer(result.error, 'req-1');
    const parsed = calls[name].response.safeParse(result.value);
    if (!parsed.success) throw new Error(`the answer of ${name} breaks its contract: ${parsed.error.message}`);
    return { status: 200, headers: {}, body: result.value };
  };
  const takesKey = 'idempotent' in calls[name] && key !== null;
  return world
    .invoke(`api-${name}`, (deps) =>
      takesKey
        ? withIdempotency(deps, { scope: `test:${name}`, key, requestHash: requestHash(given) }, 'req-1', work)
        : work(deps),
    )
    .catch((error: unknown) => {
      const answer = problemAnswer(faultOf(error), 'req-1');
      return answer.status === 500 ? { ...answer, body: { ...(answer.body as object), cause: String(error) } } : answer;
    });
}

const codeOf = ({ status, body }: HttpAnswer): string =>
  status === 200 ? '200' : `${status} ${(body as { code?: string }).code ?? ''}`;

/** The store's own state may be told (429, 503); whatever another caller does is no failure of the server. */
const allowed = (fault: StoreFaultKind | null, status: number): boolean =>
  status < 500 || (status === 503 && (fault === 'throttled' || fault === 'conflict' || fault === 'answer-lost'));

/** Answers that a repeated request may get because it meets the effect of the one before: learned once, in an undisturbed world. */
const metItself = new Map<string, string>();

const storyOfCall = <N extends CallName>(name: N): Story => {
  const probe = probes[name] as unknown as Probe<N>;
  // What a client sends stays what it sends, however the world changes meanwhile.
  const inputs = new WeakMap<MortalWorld, CallInput<Calls[N]>>();
  const send = async (world: MortalWorld, key: string | null): Promise<HttpAnswer> => {
    const given = inputs.get(world) ?? (await probe.input(world));
    inputs.set(world, given);
    return ask(world, name, probe, given, key);
  };
  return {
    name: `call ${name}`,
    prepare: async (world) => {
      await ticksOff(world);
      await registered(world.base, 4);
      await createdTable(world, { pre_split: ['h'], replication_factor: 3 });
    },
    act: async (world, fault) => {
      const problems: string[] = [];
      const first = await send(world, 'key-1');
      if (!allowed(fault, first.status)) problems.push(`it answered ${codeOf(first)}: ${JSON.stringify(first.body)}`);
      let last = first;
      for (let attempt = 1; isUnsettled(last) && attempt < ATTEMPTS_MAX; attempt++) {
        await world.base.deps.timers.sleep(RETRY_MS);
        last = await send(world, 'key-1');
      }
      if (isUnsettled(last)) problems.push(`retries did not reach an end: ${codeOf(last)}`);
      if (fault === null) metItself.set(name, `${codeOf(last)}|${codeOf(await send(world, 'key-2'))}`);
      else if (metItself.get(name)?.split('|').includes(codeOf(last)) !== true)
        problems.push(`it ended in ${codeOf(last)}, undisturbed in ${metItself.get(name) ?? 'nothing'}`);
      await settled(world, proposeAllCopies);
      // What another caller began may have ended before the answer.
      if (fault === null) metItself.set(name, `${metItself.get(name) ?? ''}|${codeOf(await send(world, 'key-3'))}`);
      await settled(world, proposeAllCopies);
      return problems;
    },
    moveOn: async (world) => void (await send(world, null)),
    judge: (world) => Promise.resolve(checkHistory(world.base.committed, world.receipts)),
  };
};

/** What asks for the same request again: outage, overload, a race that was lost. */
const isUnsettled = ({ status, headers, body }: HttpAnswer): boolean =>
  status >= 500 || headers['retry-after'] !== undefined || (body as { code?: string }).code === 'CONFLICT';

export const stories = (): readonly Story[] => [
  ...everyWay().map(storyOf),
  ...background,
  ...(Object.keys(probes) as CallName[]).map((name) => storyOfCall(name)),
];
