import type { DetectorRecord } from '../domain/records.ts';
import type { Deps, Stored } from '../ports.ts';

/**
 * The acting loop's lease (DESIGN section 5). It only spares the store double work and guards the brake's record: two loops that
 * fence at once are safe by their conditions. Like node leases it is judged by a standing beat on the observer's own
 * monotonic clock, never by wall clocks (L2).
 */

/** A standby takes over when the acting loop's beat stood still for this long. */
export const DETECTOR_LEASE_MS = 2_000;

export interface DetectorLease {
  /**
   * Call once a tick. True if this loop acts in this tick. `ready`: it has observed every sequence for long enough to fence at once. One that
   * is not leaves a released lease to a standby that is: it takes it only when nobody did for DETECTOR_LEASE_MS.
   */
  beat(ready: boolean): Promise<boolean>;
  /** The record as last seen, with the brake that the acting loop left. */
  readonly brake: DetectorRecord['brake'];
  /** Writes the brake; ignored unless this loop acts. */
  setBrake(brake: DetectorRecord['brake']): void;
  /** Gives the lease up, for a planned end: the standby acts in its next tick. */
  release(): Promise<void>;
}

export function createDetectorLease(deps: Deps, holder: string): DetectorLease {
  let seen: { readonly token: number; readonly beat: number; readonly sinceMs: number } | null = null;
  let mine: number | null = null;
  let brake: DetectorRecord['brake'] = null;

  const write = async (stored: Stored<'detector'> | null, value: DetectorRecord): Promise<boolean> => {
    const written = await deps.records.observe({
      kind: 'put',
      entity: 'detector',
      value,
      when: [stored === null ? { kind: 'absent' } : { kind: 'revision', is: stored.revision }],
    });
    return written.ok;
  };

  return {
    get brake() {
      return brake;
    },
    setBrake(next) {
      brake = next;
    },
    async beat(ready) {
      const stored = await deps.records.get('detector', {});
      const record = stored?.value ?? null;
      if (record !== null && mine !== null && record.token === mine && record.holder === holder) {
        if (await write(stored, { ...record, beat: record.beat + 1, brake })) return true;
        mine = null;
        return false;
      }
      mine = null;
      brake = record?.brake ?? null;
      const nowMs = deps.clock.monotonicMs();
      if (record !== null && !(record.released && ready)) {
        if (seen === null || seen.token !== record.token || seen.beat !== record.beat) {
          seen = { token: record.token, beat: record.beat, sinceMs: nowMs };
          return false;
        }
        if (nowMs - seen.sinceMs < DETECTOR_LEASE_MS) return false;
      }
      const token = (record?.token ?? 0) + 1;
      if (!(await write(stored, { holder, token, beat: 1, released: false, brake }))) return false;
      mine = token;
      return true;
    },
    async release() {
      if (mine === null) return;
      const stored = await deps.records.get('detector', {});
      if (stored !== null && stored.value.token === mine && stored.value.holder === holder) {
        await write(stored, { ...stored.value, released: true, brake });
      }
      mine = null;
    },
  };
}
