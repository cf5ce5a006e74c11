import type { OperationRecord } from '../../shared/domain/records.ts';
import { operationId } from '../../shared/domain/ids.ts';
import { withGlobalTimers } from '../simulation/global-timers.ts';
import { VirtualTime } from '../simulation/virtual-time.ts';
import { operationsOf } from './operations.ts';
import type { StepTask } from './operations.ts';
import { registered, useCaseWorld } from './use-case-world.ts';
import type { UseCaseWorld } from './use-case-world.ts';

/** Comes before each step; may throw (the step failed before it began), or run the step itself. */
export type Around = (task: StepTask, run: () => Promise<{ next: string }>, count: number) => Promise<{ next: string }>;

export interface Operations {
  readonly world: UseCaseWorld;
  /** Boundaries of steps so far. */
  readonly boundaries: () => number;
  /** From now on, counting from 0 again. */
  around(by: Around): void;
  /** Waits until no execution of the operation is under way. */
  idle(id: string): Promise<OperationRecord>;
  /** The process of the state machines dies; the store stays. A new one takes over, and nothing resumes by itself. */
  restart(): Promise<void>;
  /** The next start of an execution is lost. */
  loseNextStart(): void;
  wait(ms: number): Promise<void>;
  readonly runner: () => ReturnType<typeof operationsOf>['runner'];
}

const POLL_MS = 10;
/** Bound of virtual time of one story. */
const STORY_MS_MAX = 3_600_000;

/** Operations by their real ASL files over the embedded store with five nodes, waits, retries and timeouts under virtual time. */
export async function operationStory(story: (operations: Operations) => Promise<void>): Promise<void> {
  const time = new VirtualTime();
  await withGlobalTimers(time, async () => {
    const process = time.processEnvironment({ name: 'control-plane', clockRate: 1, skewMs: 0 });
    const world = useCaseWorld({ timers: process.timers, clock: process.clock, items: 'PLAIN' });
    let around: Around = (_task, run) => run();
    let count = 0;
    let processes = 0;
    const machines = () => {
      const own = ++processes;
      // A process that died runs no step any more.
      return operationsOf(world, (task, run) =>
        own === processes ? around(task, run, count++) : Promise.reject(new Error('the process is gone')),
      );
    };
    let present = machines();
    const run = async (): Promise<void> => {
      await registered(world, 1, 2, 3, 4, 5);
      await story({
        world,
        boundaries: () => count,
        around: (by) => {
          around = by;
          count = 0;
        },
        idle: async (id) => {
          const isOfIt = (name: string): boolean => name === id || name.startsWith(`${id}.`);
          while (present.runner.running().some(isOfIt)) await process.timers.sleep(POLL_MS);
          const stored = await world.records.get('operation', { operationId: operationId(id) });
          if (stored === null) throw new Error(`no operation ${id}`);
          return stored.value;
        },
        restart: async () => {
          const dead = present;
          present = machines();
          await dead.stop();
        },
        loseNextStart: () => {
          const start = world.deps.operations.start.bind(world.deps.operations);
          Object.assign(world.deps.operations, {
            start: () => {
              Object.assign(world.deps.operations, { start });
              return Promise.reject(new Error('Step Functions did not answer'));
            },
          });
        },
        wait: (ms) => process.timers.sleep(ms),
        runner: () => present.runner,
      });
    };
    let failure: unknown = null;
    let ended = false;
    run()
      .catch((error: unknown) => (failure = error))
      .finally(() => (ended = true));
    try {
      if (!(await time.run(() => ended, STORY_MS_MAX)) && failure === null)
        failure = new Error(`the story did not end within ${STORY_MS_MAX} ms of virtual time`);
    } finally {
      void present.stop();
      world.close();
    }
    if (failure !== null) throw failure instanceof Error ? failure : new Error(JSON.stringify(failure));
  });
}
