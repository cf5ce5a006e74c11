/** What the stage of a deployment decides: how hard its data is to lose, how long logs stay, how many requests come in. */

export const STAGES = ['dev', 'staging', 'prod'] as const;
export type Stage = (typeof STAGES)[number];

export interface StagePolicy {
  /** What `cdk destroy` does with tables, root keys and the customer key. */
  readonly data: 'destroyed-with-stack' | 'kept';
  /** DynamoDB refuses to delete the tables, whoever asks. */
  readonly deletionProtection: boolean;
  /** Continuous backups of the tables: any second of the last 35 days. */
  readonly pointInTimeRecovery: boolean;
  readonly logRetentionDays: number;
  /** Requests a second of the REST front door as a whole, and the burst above it; hot calls go by Function URLs. */
  readonly requestsPerSecondMax: number;
  readonly requestsBurstMax: number;
}

export const stagePolicies: Readonly<Record<Stage, StagePolicy>> = {
  /** Comes and goes with its stack: a second `cdk deploy` under the same names must not meet leftovers. */
  dev: {
    data: 'destroyed-with-stack',
    deletionProtection: false,
    pointInTimeRecovery: false,
    logRetentionDays: 7,
    requestsPerSecondMax: 100,
    requestsBurstMax: 200,
  },
  /** Rehearses restores, and can still be taken away by one command. */
  staging: {
    data: 'destroyed-with-stack',
    deletionProtection: false,
    pointInTimeRecovery: true,
    logRetentionDays: 30,
    requestsPerSecondMax: 500,
    requestsBurstMax: 1000,
  },
  /** The metadata of a database: it goes only when somebody deletes it by hand. */
  prod: {
    data: 'kept',
    deletionProtection: true,
    pointInTimeRecovery: true,
    logRetentionDays: 90,
    requestsPerSecondMax: 2000,
    requestsBurstMax: 4000,
  },
};
