import { readFileSync } from 'node:fs';
import { Stack } from 'aws-cdk-lib';
import type { CfnElement } from 'aws-cdk-lib';
import { DefinitionBody, LogLevel, StateMachine, StateMachineType } from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import type { stateMachines } from '../../state-machines/registry.ts';
import { acknowledge } from './acknowledge.ts';
import type { LambdaEntry, Surroundings } from './lambda.ts';
import { logGroup } from './log.ts';

/** One operation type as a state machine: its ASL file as it stands, a role that may invoke the step function and nothing else. */
export class Operation extends StateMachine {
  constructor(
    scope: Construct,
    id: string,
    { settings }: Surroundings,
    { type, folder, summary }: (typeof stateMachines)[number],
    step: LambdaEntry,
  ) {
    const asl = new URL(`../../state-machines/${folder}/${folder}.asl.json`, import.meta.url);
    super(scope, id, {
      stateMachineName: `${settings.prefix}-${type}`,
      stateMachineType: StateMachineType.STANDARD,
      comment: summary,
      definitionBody: DefinitionBody.fromString(readFileSync(asl, 'utf8')),
      definitionSubstitutions: { OperationStepFunction: step.functionArn },
      ...(settings.target === 'aws'
        ? {
            tracingEnabled: true,
            // Every transition, but no payloads: inputs of waiting tasks hold their tokens.
            logs: {
              destination: logGroup(scope, `${id}Log`, settings),
              level: LogLevel.ALL,
              includeExecutionData: false,
            },
          }
        : {}),
    });
    // CDK does not see which functions a definition in text names.
    step.grantInvoke(this);
    const stepId = Stack.of(this).getLogicalId(step.node.defaultChild as CfnElement);
    acknowledge(this, {
      [`IAM5[Resource::<${stepId}.Arn>:*]`]: 'Versions of the one function that it may invoke.',
      'IAM5[Resource::*]': 'X-Ray and the delivery of logs take no resource to name.',
    });
  }
}
