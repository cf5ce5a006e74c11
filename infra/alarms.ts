import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import type { LambdaEntry } from './constructs/lambda.ts';
import type { Operation } from './constructs/operation.ts';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import type { DeploymentSettings } from './settings.ts';

export interface Watched {
  readonly operations: readonly Operation[];
  readonly detector: LambdaEntry;
  readonly functions: readonly LambdaEntry[];
  readonly deadLetters: readonly Queue[];
}

const PERIOD = Duration.minutes(1);
/** Minutes without a new detector loop before somebody must know: one loop lasts two, so then none runs. */
const DETECTOR_MINUTES_MISSED = 3;
/** Runs of a scheduled function that may fail in a row; the next tick repeats what one left. */
const FAILURES_IN_A_ROW = 3;

/** One metric each: what a person must look at. Alarms show in CloudWatch; who is called is the account's choice. */
export function addAlarms(scope: Construct, settings: DeploymentSettings, watched: Watched): void {
  const alarm = (id: string, description: string, metric: IMetric, props: Partial<AlarmShape> = {}): Alarm =>
    new Alarm(scope, `${id}Alarm`, {
      alarmName: `${settings.prefix}-${id}`,
      alarmDescription: description,
      metric,
      threshold: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: 1,
      treatMissingData: TreatMissingData.NOT_BREACHING,
      ...props,
    });
  for (const operation of watched.operations) {
    const { id } = operation.node;
    alarm(`${id}-failed`, 'An operation failed; GET /operations names the reason', operation.metricFailed());
    alarm(`${id}-timed-out`, 'An operation ran for longer than its ASL allows', operation.metricTimedOut());
  }
  alarm(
    'detector-missing',
    'No failure detector loop has started for three minutes: dead leaders are not replaced',
    watched.detector.metricInvocations({ period: PERIOD, statistic: 'Sum' }),
    {
      comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods: DETECTOR_MINUTES_MISSED,
      treatMissingData: TreatMissingData.BREACHING,
    },
  );
  for (const entry of [watched.detector, ...watched.functions]) {
    alarm(
      `${entry.node.id}-errors`,
      'A function that runs by itself fails again and again; see its log',
      entry.metricErrors({ period: PERIOD, statistic: 'Sum' }),
      { evaluationPeriods: FAILURES_IN_A_ROW },
    );
  }
  for (const queue of watched.deadLetters) {
    alarm(
      `${queue.node.id}-waiting`,
      'Events did not reach their listeners; repair the cause, then send them again',
      queue.metricApproximateNumberOfMessagesVisible({ period: PERIOD, statistic: 'Maximum' }),
    );
  }
}

interface AlarmShape {
  readonly comparisonOperator: ComparisonOperator;
  readonly evaluationPeriods: number;
  readonly treatMissingData: TreatMissingData;
}
