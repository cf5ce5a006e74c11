import { readFileSync } from 'node:fs';
import { Duration, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { DynamoEventSource, SqsDlq } from 'aws-cdk-lib/aws-lambda-event-sources';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import { DefinitionBody, StateMachine, StateMachineType } from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import { stateMachines } from '../state-machines/registry.ts';
import { LambdaEntry } from './constructs/lambda.ts';
import type { Surroundings } from './constructs/lambda.ts';

/** A detector loop runs 115 s and lets failovers under way finish (DESIGN section 5). */
const DETECTOR_TIMEOUT = Duration.seconds(150);
/** Loops that may run at once: the acting one and its standby. */
const DETECTOR_CONCURRENCY = 2;
const STEP_TIMEOUT = Duration.seconds(60);
const RECONCILE_TIMEOUT = Duration.seconds(55);
const PUBLISH_TIMEOUT = Duration.seconds(30);
/** Events of one batch to the bus, and how often a batch is tried before it goes to the dead-letter queue. */
const PUBLISH_BATCH = 100;
const PUBLISH_ATTEMPTS = 10;

/** What runs by itself: the state machines of operations, the failure detector, the reconcile tick, the outbox. */
export class OperationsStack extends Stack {
  constructor(scope: Construct, id: string, surroundings: Surroundings, props?: StackProps) {
    super(scope, id, props);
    this.addOperations(surroundings);
    this.addSchedules(surroundings);
    this.addOutbox(surroundings);
  }

  private addOperations(surroundings: Surroundings): void {
    const { settings } = surroundings;
    const step = new LambdaEntry(this, 'OperationStep', surroundings, {
      entry: 'functions/operation-step.ts',
      description: 'Every Task of every operation',
      tables: { write: ['topology', 'liveness', 'catalog', 'operations', 'events'] },
      timeout: STEP_TIMEOUT,
    });
    step.grantAnswerTasks(settings);
    for (const { type, folder, summary } of stateMachines) {
      const asl = readFileSync(new URL(`../state-machines/${folder}/${folder}.asl.json`, import.meta.url), 'utf8');
      const machine = new StateMachine(this, `Operation-${type}`, {
        stateMachineName: `${settings.prefix}-${type}`,
        stateMachineType: StateMachineType.STANDARD,
        comment: summary,
        definitionBody: DefinitionBody.fromString(asl),
        definitionSubstitutions: { OperationStepFunction: step.functionArn },
        ...(settings.target === 'aws' ? { tracingEnabled: true } : {}),
      });
      // CDK does not see which functions a definition in text names.
      step.grantInvoke(machine);
    }
  }

  private addSchedules(surroundings: Surroundings): void {
    const tables = { read: ['catalog'], write: ['topology', 'liveness', 'operations', 'events'] } as const;
    const detector = new LambdaEntry(this, 'DetectFailures', surroundings, {
      entry: 'functions/detect-failures.ts',
      description: 'A 1 Hz failure detector loop; two overlap',
      tables,
      timeout: DETECTOR_TIMEOUT,
      concurrencyMax: DETECTOR_CONCURRENCY,
    });
    // The next minute starts another loop anyway: a retried one would only be late.
    detector.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(1) });
    const reconcile = new LambdaEntry(this, 'Reconcile', surroundings, {
      entry: 'functions/reconcile.ts',
      description: 'Picks up what a crash or a lost message left',
      tables,
      timeout: RECONCILE_TIMEOUT,
    });
    reconcile.grantStartOperations(surroundings.settings);
    reconcile.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(1) });
    const everyMinute = Schedule.rate(Duration.minutes(1));
    new Rule(this, 'DetectorRule', { schedule: everyMinute, targets: [new LambdaFunction(detector)] });
    new Rule(this, 'ReconcileRule', { schedule: everyMinute, targets: [new LambdaFunction(reconcile)] });
  }

  private addOutbox(surroundings: Surroundings): void {
    const { data } = surroundings;
    const publish = new LambdaEntry(this, 'PublishEvents', surroundings, {
      entry: 'functions/publish-events.ts',
      description: 'Outbox: committed events to the bus',
      tables: {},
      timeout: PUBLISH_TIMEOUT,
    });
    data.bus.grantPutEventsTo(publish);
    publish.addEventSource(
      new DynamoEventSource(data.tables.events, {
        startingPosition: StartingPosition.TRIM_HORIZON,
        batchSize: PUBLISH_BATCH,
        retryAttempts: PUBLISH_ATTEMPTS,
        bisectBatchOnError: true,
        onFailure: new SqsDlq(new Queue(this, 'UnpublishedEvents', { enforceSSL: true })),
      }),
    );
  }
}
