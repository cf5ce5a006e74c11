import type { Deps, Stored } from '../ports.ts';

/** Operations of one query. Structural ones are bounded by the shards, and most wait for their turn inside a parent. */
const PAGE = 500;
/** Pages of one pass: 10,000 open operations. A pass that finds more says so in the log; ended ones make room for the next pass. */
const PAGES_MAX = 20;

/** Operations that have not ended, oldest first, each read strongly a page at a time. One that ends in between is left out. */
export async function* openOperations(deps: Pick<Deps, 'records' | 'log'>): AsyncGenerator<Stored<'operation'>> {
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const open = await deps.records.query('openOperation', {
      partition: {},
      order: 'forward',
      limit: PAGE,
      ...(after === undefined ? {} : { after }),
    });
    const stored = await deps.records.getMany(
      'operation',
      open.items.map(({ value }) => ({ operationId: value.operationId })),
    );
    yield* stored.filter((operation) => operation !== null);
    if (open.next === null) return;
    after = open.next;
  }
  deps.log.warn('open-operations-left-over', { seen: PAGE * PAGES_MAX });
}
