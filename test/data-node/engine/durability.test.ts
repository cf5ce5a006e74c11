import { DatabaseSync } from 'node:sqlite';
import { openEngine } from '../../../data-node/engine/engine.ts';
import type { Engine } from '../../../data-node/engine/engine.ts';

/** SQLite's levels: at FULL a commit syncs its log, at NORMAL it leaves that to the next one that does. */
const NORMAL = 1;
const FULL = 2;

let database: DatabaseSync;
let engine: Engine;

beforeEach(() => {
  database = new DatabaseSync(':memory:');
  engine = openEngine({ database });
});

afterEach(() => {
  engine.close();
  database.close();
});

const level = (): unknown => database.prepare('PRAGMA synchronous').get()?.['synchronous'];

test('a transaction is fsynced unless it says that it need not be', () => {
  expect(engine.transaction(level)).toBe(FULL);
  expect(engine.transaction(level, 'FSYNCED')).toBe(FULL);
  expect(engine.transaction(level, 'LAZY')).toBe(NORMAL);
});

test('what follows a lazy transaction is fsynced again, also after one that failed', () => {
  const failing = (): never => {
    throw new Error('no');
  };
  engine.transaction(() => undefined, 'LAZY');
  expect(level()).toBe(FULL);
  expect(() => engine.transaction(failing, 'LAZY')).toThrow('no');
  expect(level()).toBe(FULL);
  expect(engine.transaction(level)).toBe(FULL);
});

test('a lazy transaction is seen at once, and goes whole or not at all', () => {
  const first = engine.transaction((tx) => tx.openStaging(), 'LAZY');
  const undone: number[] = [];
  const failing = (): never =>
    engine.transaction((tx) => {
      undone.push(tx.openStaging());
      throw new Error('no');
    }, 'LAZY');
  expect(failing).toThrow('no');
  const next = engine.transaction((tx) => tx.openStaging());
  expect([next, ...undone]).toEqual([first + 1, first + 1]);
});
