import { REPORTS_PER_MESSAGE_MAX } from '../../shared/contracts/node/heartbeat.ts';
import type { NodeReport, ReportsResponse } from '../../shared/contracts/node/heartbeat.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { ControlPlane, Environment } from '../ports.ts';

export type ReportResult = ReportsResponse['results'][number];
/** UNKNOWN: the report may or may not have been applied (R2). */
export type ReportOutcome = Result<ReportResult, { code: string; message: string }>;

/** Collects reports of one turn of the loop into messages: a peer's death concerns many shards at once. */
export class Reporter {
  private readonly env: Environment;
  private readonly controlPlane: ControlPlane;
  private queue: { report: NodeReport; resolve: (outcome: ReportOutcome) => void }[] = [];

  constructor(env: Environment, controlPlane: ControlPlane) {
    this.env = env;
    this.controlPlane = controlPlane;
  }

  /** Never rejects. */
  report(report: NodeReport): Promise<ReportOutcome> {
    return new Promise((resolve) => {
      this.queue.push({ report, resolve });
      if (this.queue.length === 1) this.env.timers.after(0, () => this.flush());
    });
  }

  private flush(): void {
    const queue = this.queue;
    this.queue = [];
    for (let start = 0; start < queue.length; start += REPORTS_PER_MESSAGE_MAX)
      void this.send(queue.slice(start, start + REPORTS_PER_MESSAGE_MAX));
  }

  private async send(batch: typeof this.queue): Promise<void> {
    let answer: Awaited<ReturnType<ControlPlane['report']>>;
    try {
      answer = await this.controlPlane.report(batch.map((item) => item.report));
    } catch (error) {
      answer = err({ code: 'UNKNOWN', message: error instanceof Error ? error.message : String(error) });
    }
    batch.forEach((item, index) => {
      if (!answer.ok) {
        item.resolve(answer);
        return;
      }
      const result = answer.value[index];
      item.resolve(
        result === undefined ? err({ code: 'UNKNOWN', message: 'the answer names fewer reports' }) : ok(result),
      );
    });
  }
}
