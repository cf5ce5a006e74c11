import type { ItemWrite, StoredItem } from '../../../shared/ports.ts';
import { StoreError } from '../../../shared/ports.ts';
import { entities, recordKey } from '../../../shared/store/entities.ts';
import type { StoreCall } from '../../../shared/store/faults.ts';
import type { MortalWorld } from '../../support/mortal-world.ts';
import type { CallFate } from '../../support/outside-calls.ts';

/** What goes wrong with one call of the store. */
export const STORE_FAULTS = {
  throttled: 'refused for its rate, after the SDK gave up',
  conflict: 'another transaction held an item, still after the retries of the store',
  'answer-lost': 'it was applied, and the answer never came',
  'condition-failed': 'somebody raised the revision of what it writes just before',
  stale: 'the world moves on between this read and what is done with it',
  outage: 'it is refused, and so are the calls of its process after it: what clears up after a failure fails too',
} as const;
export type StoreFaultKind = keyof typeof STORE_FAULTS;

const isWrite = (call: StoreCall): call is Extract<StoreCall, { writes: unknown }> =>
  call.method === 'write' || call.method === 'transact';

/** Kinds that can happen to a call. */
export function kindsFor(call: StoreCall): readonly StoreFaultKind[] {
  if (!isWrite(call))
    return call.method === 'getSnapshot' ? ['throttled', 'conflict', 'stale'] : ['throttled', 'stale'];
  const contended = call.writes.some(
    ({ kind: how, when }) => how !== 'check' && when.some(({ kind }) => kind === 'revision'),
  );
  return ['throttled', 'conflict', 'answer-lost', ...(contended ? ['condition-failed' as const] : []), 'outage'];
}

/** `moveOn`: what happens in the world between a read and its use. */
export function fateFor(
  kind: StoreFaultKind,
  call: StoreCall,
  world: MortalWorld,
  moveOn: () => Promise<void>,
): CallFate {
  switch (kind) {
    case 'outage':
    case 'throttled':
      return { throws: { side: 'BEFORE', error: new StoreError('THROTTLED', 'injected') } };
    case 'conflict':
      return { throws: { side: 'BEFORE', error: new StoreError('TRANSACTION_CONFLICT', 'injected') } };
    case 'answer-lost':
      return { throws: { side: 'AFTER', error: new StoreError('UNAVAILABLE', 'injected') } };
    case 'condition-failed':
      return { first: () => touch(world, isWrite(call) ? call.writes : []) };
    case 'stale':
      return { then: moveOn };
  }
}

/** Is `entity` (of an audit entry) the item itself, numbered by its revision? Shards, pages and leases are numbered otherwise (I-16). */
function isNumberedByRevision(entity: string, { key, body }: StoredItem): boolean {
  const [kind = '', ...rest] = entity.split(':');
  const id = rest.join(':');
  if (kind === 'table') return key.pk === 'TABLES' && body['tableId'] === id;
  return ['operation', 'node', 'config', 'join-token'].includes(kind) && key.sk.endsWith(`#${id}`);
}

/**
 * Somebody writes the items that these writes expect at a revision, and changes nothing in them. Where the audit entry of the writes bears the
 * next revision, this write takes that number: numbers have no gap.
 */
async function touch(world: MortalWorld, writes: readonly ItemWrite[]): Promise<void> {
  const { store } = world.base;
  const touched: { write: ItemWrite; item: StoredItem }[] = [];
  for (const write of writes) {
    // What is only checked belongs to somebody else, whose audit entries this commit does not hold.
    const expected = write.kind === 'check' ? undefined : write.when.find(({ kind }) => kind === 'revision');
    const item = expected === undefined ? null : await store.get(write.key);
    if (item !== null && expected?.kind === 'revision' && expected.is === item.revision) touched.push({ write, item });
  }
  if (touched.length === 0) return;
  const entries = writes.filter(
    (write): write is Extract<ItemWrite, { kind: 'put' }> =>
      write.kind === 'put' &&
      write.key.table === 'events' &&
      write.key.sk.startsWith('A#') &&
      touched.some(
        ({ item }) =>
          isNumberedByRevision(entities.audit.codec.decode(write.body).entity, item) &&
          write.body['number'] === item.revision + 1,
      ),
  );
  const own = `touch-${world.base.committed.length}`;
  const answer = await store.transact([
    ...touched.map(({ item }): ItemWrite => ({ kind: 'update', key: item.key, set: {}, when: [] })),
    ...entries.map((entry): ItemWrite => ({ ...entry, body: { ...entry.body, action: 'TOUCHED' } })),
    // I-16: no commit without an audit entry.
    {
      kind: 'put',
      key: recordKey('audit', { entity: own, number: 1 }),
      body: entities.audit.codec.encode({
        entity: own,
        number: 1,
        action: 'TOUCHED',
        principal: 'test',
        detail: {},
        atMs: 0,
      }),
      when: [{ kind: 'absent' }],
    },
  ]);
  if (!answer.ok) throw new Error('the touch was refused');
}
