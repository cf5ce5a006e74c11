import type { SFNClient } from '@aws-sdk/client-sfn';
import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  ExecutionDoesNotExist,
  InvalidToken,
  SendTaskFailureCommand,
  SendTaskSuccessCommand,
  StartExecutionCommand,
  TaskDoesNotExist,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import { executionName } from '../domain/operation.ts';
import { invariant } from '../domain/result.ts';
import type { OperationStarter } from '../ports.ts';

/** Operations as Step Functions executions. An execution's name is the operation id and the number of the run (ADR 0006); its input is that id and nothing else. */

export interface StepFunctionsOptions {
  readonly client: SFNClient;
  /** ARN of a state machine without its operation type: `arn:...:stateMachine:shardkeeper-`. */
  readonly stateMachineArnPrefix: string;
}

/** Limits of SendTaskFailure (API reference): characters of `error` and of `cause`. */
const ERROR_CHARS_MAX = 256;
const CAUSE_CHARS_MAX = 32_768;

export function createStepFunctionsStarter({ client, stateMachineArnPrefix }: StepFunctionsOptions): OperationStarter {
  return {
    start: async (type, operationId, run = 1) => {
      const stateMachineArn = `${stateMachineArnPrefix}${type}`;
      const name = executionName(operationId, run);
      const input = JSON.stringify({ operation_id: operationId });
      try {
        const started = await client.send(new StartExecutionCommand({ stateMachineArn, name, input }));
        invariant(started.executionArn !== undefined, 'a started execution has an ARN');
        return { executionArn: started.executionArn };
      } catch (error) {
        if (!(error instanceof ExecutionAlreadyExists)) throw error;
        return { executionArn: await lookAtExecution(client, stateMachineArn, name) };
      }
    },
    isRunning: async (type, operationId, run) => {
      const executionArn = executionArnOf(`${stateMachineArnPrefix}${type}`, executionName(operationId, run));
      try {
        return (await client.send(new DescribeExecutionCommand({ executionArn }))).status === 'RUNNING';
      } catch (error) {
        if (error instanceof ExecutionDoesNotExist) return false;
        throw error;
      }
    },
    succeedTask: (taskToken, output) =>
      ignoringFinishedTokens(() =>
        client.send(new SendTaskSuccessCommand({ taskToken, output: JSON.stringify(output) })),
      ),
    failTask: (taskToken, code, message) =>
      ignoringFinishedTokens(() =>
        client.send(
          new SendTaskFailureCommand({
            taskToken,
            error: code.slice(0, ERROR_CHARS_MAX),
            cause: message.slice(0, CAUSE_CHARS_MAX),
          }),
        ),
      ),
  };
}

const executionArnOf = (stateMachineArn: string, name: string): string =>
  `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;

/** The name is taken: it counts as started only if an execution of this very state machine is there under it. */
async function lookAtExecution(client: SFNClient, stateMachineArn: string, name: string): Promise<string> {
  const executionArn = executionArnOf(stateMachineArn, name);
  const found = await client.send(new DescribeExecutionCommand({ executionArn }));
  invariant(found.executionArn !== undefined, 'an execution that exists has an ARN');
  return found.executionArn;
}

/** A wait that timed out, was redriven or was answered before is over: whoever answers late has nothing left to do. */
async function ignoringFinishedTokens(send: () => Promise<unknown>): Promise<void> {
  try {
    await send();
  } catch (error) {
    if (error instanceof TaskDoesNotExist || error instanceof TaskTimedOut || error instanceof InvalidToken) return;
    throw error;
  }
}
