import type { OperationId } from '../domain/ids.ts';
import type { Json } from '../domain/records.ts';

/** Starts and answers state machines. */
export interface OperationStarter {
  /**
   * Starts execution number `run` (1 if left out) of the operation's state machine, under the name of `executionName` (ADR 0006). An
   * execution that exists already is success.
   */
  start(type: string, operationId: OperationId, run?: number): Promise<{ executionArn: string }>;
  /** True while execution number `run` is under way; false if it ended or was never started. */
  isRunning(type: string, operationId: OperationId, run: number): Promise<boolean>;
  /** Completes a waiting task token. An unknown or finished token is ignored (the wait timed out or was redriven). */
  succeedTask(taskToken: string, output: Json): Promise<void>;
  failTask(taskToken: string, code: string, message: string): Promise<void>;
}
