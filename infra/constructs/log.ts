import { RemovalPolicy } from 'aws-cdk-lib';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { DeploymentSettings } from '../settings.ts';

/** The retentions that stages ask for, as CloudWatch Logs spells them: it takes certain numbers of days only. */
const RETENTIONS: Readonly<Record<number, RetentionDays>> = {
  7: RetentionDays.ONE_WEEK,
  30: RetentionDays.ONE_MONTH,
  90: RetentionDays.THREE_MONTHS,
};

/** A log group that ends with its stack; in production it stays, for whoever asks afterwards what happened. */
export function logGroup(scope: Construct, id: string, { policy }: DeploymentSettings): LogGroup {
  const retention = RETENTIONS[policy.logRetentionDays];
  if (retention === undefined) throw new Error(`no log retention of ${policy.logRetentionDays} days`);
  return new LogGroup(scope, id, {
    retention,
    removalPolicy: policy.data === 'kept' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
}
