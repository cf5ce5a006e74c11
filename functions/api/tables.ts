import { setTableReplication } from '../../shared/usecases/change-replication.ts';
import { createTable, deleteTable, getTable, listTables } from '../../shared/usecases/tables.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/tables`. */
export const create = (source: RuntimeSource) =>
  apiHandler('tables', { createTable, listTables, getTable, deleteTable, setTableReplication }, source);

export const handler = create(lambdaRuntime);
