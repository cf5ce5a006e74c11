import { CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction, SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import { FilterCriteria, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { DynamoEventSource, SqsDlq } from 'aws-cdk-lib/aws-lambda-event-sources';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import type { DeadLetterQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { stateMachines } from '../state-machines/registry.ts';
import { addAlarms } from './alarms.ts';
import { acknowledge } from './constructs/acknowledge.ts';
import { LambdaEntry } from './constructs/lambda.ts';
import type { Surroundings } from './constructs/lambda.ts';
import { Operation } from './constructs/operation.ts';

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
/** Partition keys of events; the table's other items are audit entries. A test holds it against the store's keys. */
export const EVENT_PARTITIONS = 'E#';
/** Partition keys of what is numbered in feeds: versions of routes, decisions. A test holds them against the store's keys. */
export const SEQUENCED_PARTITIONS = ['V#', 'D#'] as const;
const SEQUENCE_TIMEOUT = Duration.seconds(30);
/** Changes of one batch: one pack of a feed, or one of each table. */
const SEQUENCE_BATCH = 100;
/** What this control plane's events are marked with on the bus. */
export const EVENT_SOURCE = 'shardkeeper';
/** Times that a listener may take an event from the queue without finishing it. */
const RECEIVES_MAX = 5;
const VISIBILITY = Duration.minutes(1);
/** The longest that SQS keeps a message: time to repair what went wrong. */
const KEPT_MAX = Duration.days(14);

/** What runs by itself: the state machines of operations, the failure detector, the reconcile tick, the outbox. */
export class OperationsStack extends Stack {
  constructor(scope: Construct, id: string, surroundings: Surroundings, props?: StackProps) {
    super(scope, id, props);
    const operations = this.addOperations(surroundings);
    const { detector, reconcile } = this.addSchedules(surroundings);
    const { publish, deadLetters } = this.addOutbox(surroundings);
    const sequencer = this.addSequencer(surroundings);
    if (surroundings.settings.target === 'aws') {
      addAlarms(this, surroundings.settings, {
        operations,
        detector,
        functions: [reconcile, publish, sequencer],
        deadLetters,
      });
    }
  }

  private addOperations(surroundings: Surroundings): readonly Operation[] {
    const step = new LambdaEntry(this, 'OperationStep', surroundings, {
      name: 'operation-step',
      entry: 'functions/operation-step.ts',
      description: 'Every Task of every operation',
      timeout: STEP_TIMEOUT,
    });
    return stateMachines.map(
      (machine) => new Operation(this, `Operation-${machine.type}`, surroundings, machine, step),
    );
  }

  private addSchedules(surroundings: Surroundings): { detector: LambdaEntry; reconcile: LambdaEntry } {
    const { settings } = surroundings;
    const detector = new LambdaEntry(this, 'DetectFailures', surroundings, {
      name: 'detect-failures',
      entry: 'functions/detect-failures.ts',
      description: 'A 1 Hz failure detector loop; two overlap',
      timeout: DETECTOR_TIMEOUT,
      ...(settings.detectorConcurrency === 'reserved' ? { concurrencyMax: DETECTOR_CONCURRENCY } : {}),
    });
    const reconcile = new LambdaEntry(this, 'Reconcile', surroundings, {
      name: 'reconcile',
      entry: 'functions/reconcile.ts',
      description: 'Picks up what a crash or a lost message left',
      timeout: RECONCILE_TIMEOUT,
    });
    const schedule = Schedule.rate(Duration.minutes(1));
    // The next minute starts another one anyway: a retried one would only be late.
    const once = { retryAttempts: 0, maxEventAge: Duration.minutes(1) };
    for (const [id, entry] of Object.entries({ DetectorRule: detector, ReconcileRule: reconcile })) {
      entry.configureAsyncInvoke(once);
      new Rule(this, id, { schedule, targets: [new LambdaFunction(entry, once)] });
    }
    return { detector, reconcile };
  }

  /** Stream of the events table -> publish-events -> bus -> rule -> queue, and a queue for what fails on either way. */
  private addOutbox(surroundings: Surroundings): { publish: LambdaEntry; deadLetters: readonly Queue[] } {
    const { data, settings } = surroundings;
    const publish = new LambdaEntry(this, 'PublishEvents', surroundings, {
      name: 'publish-events',
      entry: 'functions/publish-events.ts',
      description: 'Outbox: committed events to the bus',
      timeout: PUBLISH_TIMEOUT,
    });
    const unpublished = this.queue('UnpublishedEvents', surroundings);
    publish.addEventSource(
      new DynamoEventSource(data.tables.events, {
        startingPosition: StartingPosition.TRIM_HORIZON,
        batchSize: PUBLISH_BATCH,
        retryAttempts: PUBLISH_ATTEMPTS,
        bisectBatchOnError: true,
        // The publisher answers which records failed; without this Lambda would take them for published.
        reportBatchItemFailures: true,
        onFailure: new SqsDlq(unpublished),
        // Audit entries start no function; on an emulator without filters the function drops them itself.
        ...(settings.target === 'aws' ? { filters: [newEvents()] } : {}),
      }),
    );
    const undelivered = this.queue('UndeliveredEvents', surroundings);
    for (const queue of [unpublished, undelivered]) {
      acknowledge(queue, { SQS3: 'It is where what failed goes; an alarm watches it.' });
    }
    const events = this.queue('Events', surroundings, { queue: undelivered, maxReceiveCount: RECEIVES_MAX });
    new Rule(this, 'EventsRule', {
      eventBus: data.bus,
      description: 'Every event of the cluster to the queue of its listeners',
      eventPattern: { source: [EVENT_SOURCE] },
      targets: [new SqsQueue(events, { deadLetterQueue: undelivered })],
    });
    new CfnOutput(this, 'EventsQueueUrl', { value: events.queueUrl });
    return { publish, deadLetters: [unpublished, undelivered] };
  }

  /** Stream of the events table -> sequence-changes -> feeds. Repeated until it succeeds: a feed that missed a change would mislead its readers. */
  private addSequencer(surroundings: Surroundings): LambdaEntry {
    const { data, settings } = surroundings;
    const sequencer = new LambdaEntry(this, 'SequenceChanges', surroundings, {
      name: 'sequence-changes',
      entry: 'functions/sequence-changes.ts',
      description: 'Feeds: committed changes under numbers without a gap',
      timeout: SEQUENCE_TIMEOUT,
    });
    sequencer.addEventSource(
      new DynamoEventSource(data.tables.events, {
        startingPosition: StartingPosition.TRIM_HORIZON,
        batchSize: SEQUENCE_BATCH,
        ...(settings.target === 'aws' ? { filters: [inserted(SEQUENCED_PARTITIONS)] } : {}),
      }),
    );
    return sequencer;
  }

  private queue(id: string, { data }: Surroundings, deadLetterQueue?: DeadLetterQueue): Queue {
    return new Queue(this, id, {
      enforceSSL: true,
      retentionPeriod: KEPT_MAX,
      ...(deadLetterQueue === undefined ? {} : { deadLetterQueue, visibilityTimeout: VISIBILITY }),
      ...(data.key === undefined
        ? { encryption: QueueEncryption.SQS_MANAGED }
        : { encryption: QueueEncryption.KMS, encryptionMasterKey: data.key }),
    });
  }
}

const newEvents = (): Record<string, unknown> => inserted([EVENT_PARTITIONS]);

const inserted = (partitions: readonly string[]): Record<string, unknown> =>
  FilterCriteria.filter({
    eventName: ['INSERT'],
    dynamodb: { Keys: { pk: { S: partitions.map((prefix) => ({ prefix })) } } },
  });
