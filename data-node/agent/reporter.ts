import { REPORTS_PER_MESSAGE_MAX, reportsResponseSchema } from '../../shared/contracts/node/heartbeat.ts';
import type { NodeReport, ReportsResponse } from '../../shared/contracts/node/heartbeat.ts';
import { err, ok } from '../../shared/domain/result.ts';
import type { Result } from '../../shared/domain/result.ts';
import type { ControlPlaneAnswer } from './ports.ts';
import { refusalOf } from './ports.ts';

export type ReportResult = ReportsResponse['results'][number];
export type ReportError = { readonly code: string; readonly message: string };
type Settle = (result: Result<ReportResult, ReportError>) => void;

/**
 * Bundles reports into messages: what is reported while messages are under way goes together into the next one, and equal
 * reports that wait are sent once.
 */
export class Reporter {
  /** Reports that no message carries yet, by their JSON. */
  private readonly waiting = new Map<string, { readonly report: NodeReport; readonly settle: Settle[] }>();
  private inFlight = 0;
  private readonly send: (reports: readonly NodeReport[]) => Promise<Result<ControlPlaneAnswer, ReportError>>;

  constructor(send: (reports: readonly NodeReport[]) => Promise<Result<ControlPlaneAnswer, ReportError>>) {
    this.send = send;
  }

  async report(reports: readonly NodeReport[]): Promise<Result<ReportResult[], ReportError>> {
    if (reports.length > REPORTS_PER_MESSAGE_MAX) {
      return err({ code: 'TOO_MANY_REPORTS', message: `at most ${REPORTS_PER_MESSAGE_MAX} reports a call` });
    }
    if (this.waiting.size + reports.length > WAITING_REPORTS_MAX) {
      return err({ code: 'OVERLOADED', message: `${WAITING_REPORTS_MAX} reports wait already` });
    }
    const settled = Promise.all(reports.map((report) => this.enqueue(report)));
    this.flush();
    const results: ReportResult[] = [];
    for (const result of await settled) {
      if (!result.ok) return result;
      results.push(result.value);
    }
    return ok(results);
  }

  private enqueue(report: NodeReport): Promise<Result<ReportResult, ReportError>> {
    return new Promise((resolve) => {
      const key = JSON.stringify(report);
      const entry = this.waiting.get(key);
      if (entry === undefined) this.waiting.set(key, { report, settle: [resolve] });
      else entry.settle.push(resolve);
    });
  }

  private flush(): void {
    while (this.inFlight < MESSAGES_IN_FLIGHT_MAX && this.waiting.size > 0) {
      const batch = [...this.waiting].slice(0, REPORTS_PER_MESSAGE_MAX);
      for (const [key] of batch) this.waiting.delete(key);
      this.inFlight++;
      void this.deliver(batch.map(([, entry]) => entry));
    }
  }

  private async deliver(entries: readonly { readonly report: NodeReport; readonly settle: readonly Settle[] }[]) {
    const results = await this.exchange(entries.map((entry) => entry.report));
    this.inFlight--;
    entries.forEach((entry, index) => {
      for (const settle of entry.settle) settle(results.ok ? ok(results.value[index] as ReportResult) : results);
    });
    this.flush();
  }

  private async exchange(reports: readonly NodeReport[]): Promise<Result<readonly ReportResult[], ReportError>> {
    const answer = await this.send(reports);
    if (!answer.ok) return answer;
    if (answer.value.status !== 200) return err(refusalOf(answer.value));
    const parsed = reportsResponseSchema.safeParse(answer.value.body);
    if (!parsed.success || parsed.data.results.length !== reports.length) {
      return err({ code: 'BAD_ANSWER', message: 'the answer does not match the reports' });
    }
    return ok(parsed.data.results);
  }
}

/** Messages under way at a time: a failover of many shards is not held up by one slow answer. */
const MESSAGES_IN_FLIGHT_MAX = 4;
/** Reports that may wait: beyond it the control plane is away, and the shards ask again. */
const WAITING_REPORTS_MAX = 10_000;
