import { BEGIN } from '../../shared/domain/operation.ts';
import { PHASES } from '../../state-machines/move-replica/work.ts';
import {
  cancelOperation,
  pauseOperation,
  redriveOperation,
  resumeOperation,
} from '../../shared/usecases/operations.ts';
import { expectAtRest, story } from '../support/moving-story.ts';
import type { Story } from '../support/moving-story.ts';

/** A move that is paused, cancelled, repeated or robbed of a node or of its own process, at every boundary of a step (I-9, I-10). */

const STEPS: readonly string[] = [BEGIN, ...PHASES];
/** Steps before which a cancel is accepted. */
const CANCELLABLE = STEPS.slice(0, STEPS.indexOf('remove-replicas'));

describe('at every boundary of a step', () => {
  const asked = async (told: Story, control: 'pause' | 'resume' | 'cancel' | 'redrive', id: string) => {
    const params = { operation_id: id };
    switch (control) {
      case 'pause':
        return told.world.call('pauseOperation', pauseOperation, { params });
      case 'resume':
        return told.world.call('resumeOperation', resumeOperation, { params });
      case 'cancel':
        return told.world.call('cancelOperation', cancelOperation, { params });
      case 'redrive':
        return told.world.call('redriveOperation', redriveOperation, { params });
    }
  };
  const once = (told: Story, step: string, work: (id: string) => Promise<unknown>): void => {
    let done = false;
    told.around(async (task, run) => {
      if (task.step === step && !done) {
        done = true;
        await work(task.operation_id);
      }
      return run();
    });
  };

  test.each(STEPS)('paused before %s for longer than any bound, and resumed', (step) =>
    story(async (told) => {
      once(told, step, (id) => asked(told, 'pause', id));
      const id = await told.move({ to: told.free[0]!, from: told.leader });
      expect(await told.ended(id)).toMatchObject({ status: 'PAUSED' });
      await told.wait(1_000_000); // above the 900 s that a copy may take
      await asked(told, 'resume', id);
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED', run: 2 });
      await expectAtRest(told, [...told.followers, told.free[0]!]);
    }),
  );

  test.each(CANCELLABLE)('cancelled before %s: everything is as it was', (step) =>
    story(async (told) => {
      const before = await told.shard();
      once(told, step, (id) => asked(told, 'cancel', id));
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'CANCELLED', outcome: 'ROLLED_BACK', error: null });
      await expectAtRest(told, [told.leader, ...told.followers]);
      const after = await told.shard();
      expect({ ...after, generation: 0 }).toEqual({ ...before, generation: 0 });
    }),
  );

  test('a cancel after the first removal is refused, and the move goes on', () =>
    story(async (told) => {
      let code = '';
      once(told, 'forget', async (id) => {
        const answer = await asked(told, 'cancel', id);
        code = answer.ok ? 'accepted' : answer.error.code;
      });
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(code).toBe('NOT_CANCELLABLE');
    }));

  test.each(STEPS)('%s run twice, and its first answer lost', (step) =>
    story(async (told) => {
      told.around(async (task, run) => {
        if (task.step !== step || task.task_token !== undefined) return run();
        await run();
        return run();
      });
      const id = await told.move({ to: told.free[0]!, from: told.leader });
      const ended = await told.ended(id);
      expect(ended).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [...told.followers, told.free[0]!]);
    }),
  );

  test.each(STEPS)('the process of the state machines dies before %s; the next one goes on', (step) =>
    story(async (told) => {
      once(told, step, () => told.restart().then(() => Promise.reject(new Error('died'))));
      const id = await told.move({ to: told.free[0]!, from: told.leader });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [...told.followers, told.free[0]!]);
    }),
  );

  test.each(
    STEPS.flatMap((step) => (['source', 'target', 'leader', 'other'] as const).map((who) => [who, step] as const)),
  )('the %s dies before %s and comes back a minute later', (who, step) =>
    story(async (told) => {
      const { leader, followers, free } = told;
      const victim = { source: followers[0]!, target: free[0]!, leader, other: followers[1]! }[who];
      let back: Promise<void> = Promise.resolve();
      once(told, step, async () => {
        await told.nodes.kill(victim);
        back = told.wait(60_000).then(() => told.nodes.revive(victim));
      });
      const id = await told.move({ to: free[0]!, from: followers[0]! });
      const ended = await told.ended(id);
      await back;
      await told.wait(5_000);
      expect(ended.status).toBe(ended.outcome === 'ROLLED_BACK' ? 'FAILED' : 'SUCCEEDED');
      // A dead target at the start is refused; else it is waited for.
      if (ended.status === 'SUCCEEDED') await expectAtRest(told, [leader, followers[1]!, free[0]!]);
      else await expectAtRest(told, [leader, ...followers]);
      expect((await told.shard()).replicas.every((replica) => replica.syncStatus === 'IN_SYNC')).toBe(true);
    }),
  );
});

describe('what does not come right is undone, within bounds', () => {
  test('the target stays dead: rolled back, its copy destroyed when it returns', () =>
    story(async (told) => {
      const { leader, followers, free, nodes } = told;
      told.nodes.pace(free[0]!, 'NEVER');
      const id = await told.move({ to: free[0]!, from: followers[0]! });
      await told.wait(20_000);
      await nodes.kill(free[0]!);
      expect(await told.ended(id)).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: { code: 'TARGET_DOWN' },
      });
      await expectAtRest(told, [leader, ...followers], [free[0]!]);
      await nodes.revive(free[0]!);
      await expectAtRest(told, [leader, ...followers]);
    }));

  test('the target never catches up: rolled back after a bound', () =>
    story(async (told) => {
      told.nodes.pace(told.free[0]!, 'NEVER');
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({
        status: 'FAILED',
        outcome: 'ROLLED_BACK',
        error: { code: 'CATCH_UP_TIMEOUT' },
      });
      await expectAtRest(told, [told.leader, ...told.followers]);
    }));

  test('redriven after a roll-back, it starts anew with new replica ids (R4)', () =>
    story(async (told) => {
      told.nodes.pace(told.free[0]!, 'NEVER');
      const id = await told.move({ to: told.free[0]!, from: told.followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'FAILED' });
      told.nodes.pace(told.free[0]!, 'AT_ONCE');
      await told.world.call('redriveOperation', redriveOperation, { params: { operation_id: id } });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED', outcome: 'APPLIED' });
      await expectAtRest(told, [told.leader, told.followers[1]!, told.free[0]!]);
    }));

  test('the target is wiped on the way: a new copy is made under the same id (ADR 0003)', () =>
    story(async (told) => {
      const target = told.free[0]!;
      told.nodes.pace(target, 'NEVER');
      const id = await told.move({ to: target, from: told.followers[0]! });
      await told.wait(20_000);
      await told.nodes.kill(target);
      await told.nodes.revive(target, 'WIPED');
      told.nodes.pace(target, 'AT_ONCE');
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      await expectAtRest(told, [told.leader, told.followers[1]!, target]);
    }));

  test('a survivor dies before the removal: it waits, because the floor comes first (I-7)', () =>
    story(async (told) => {
      const { leader, followers, free, nodes } = told;
      let waited = '';
      told.around(async (task, run) => {
        if (task.step === 'remove-replicas' && waited === '') {
          await nodes.kill(followers[1]!);
          const answer = await run();
          waited = answer.next;
          await nodes.revive(followers[1]!);
          return answer;
        }
        return run();
      });
      const id = await told.move({ to: free[0]!, from: followers[0]! });
      expect(await told.ended(id)).toMatchObject({ status: 'SUCCEEDED' });
      expect(waited).toBe('remove-replicas');
      await expectAtRest(told, [leader, followers[1]!, free[0]!]);
    }));
});
