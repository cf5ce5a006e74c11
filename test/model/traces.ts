import type { SimulationOptions } from '../simulation/options.ts';
import type { ModelEvent } from './events.ts';
import { recordRun } from './recorder.ts';
import { ModelTwin } from './twin.ts';
import type { Refusal } from './twin.ts';

/** Runs of the simulation, held against the model event by event. */
export interface TraceVerdict {
  readonly seed: number;
  readonly events: number;
  readonly refused: (Refusal & { readonly event: ModelEvent; readonly at: number }) | null;
  /** What the run's own checks found. */
  readonly problems: readonly string[];
}

export async function checkRun(options: SimulationOptions): Promise<TraceVerdict> {
  const twin = new ModelTwin();
  let refused: TraceVerdict['refused'] = null;
  const { problems } = await recordRun(options, (event) => {
    if (refused !== null) return;
    const refusal = twin.take(event);
    if (refusal !== null) refused = { ...refusal, event, at: twin.events };
  });
  return { seed: options.seed, events: twin.events, refused, problems };
}

/** The first event that the model does not allow; null if it allows all. */
export function firstRefusal(events: readonly ModelEvent[]): { readonly at: number; readonly refusal: Refusal } | null {
  const twin = new ModelTwin();
  for (const [at, event] of events.entries()) {
    const refusal = twin.take(event);
    if (refusal !== null) return { at, refusal };
  }
  return null;
}
