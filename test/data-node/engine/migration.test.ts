import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import { SCHEMA } from '../../../data-node/engine/schema.ts';
import { openEngine } from '../../../data-node/engine/engine.ts';
import { toWireDescriptor } from '../../../shared/contracts/node/descriptor.ts';
import { aShard } from '../../support/shards.ts';

/** The tables as format 1 had them. */
const FORMAT_1 = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE replicas (
    shard_id TEXT PRIMARY KEY, replica_id TEXT NOT NULL, storage_id INTEGER NOT NULL UNIQUE, store_uuid TEXT NOT NULL,
    descriptor TEXT NOT NULL, max_epoch INTEGER NOT NULL, commit_seq INTEGER NOT NULL,
    receipt_epoch INTEGER, receipt_generation INTEGER, intact INTEGER NOT NULL,
    base_epoch INTEGER NOT NULL, base_seq INTEGER NOT NULL, last_epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    last_wall_ms INTEGER NOT NULL, last_counter INTEGER NOT NULL, live_rows INTEGER NOT NULL, live_bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE removed_replicas (number INTEGER PRIMARY KEY, replica_id TEXT NOT NULL UNIQUE);
  CREATE TABLE log (
    storage_id INTEGER NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, write_id TEXT, fingerprint TEXT NOT NULL,
    changes TEXT NOT NULL, wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (storage_id, seq)
  ) WITHOUT ROWID;
  CREATE TABLE row_versions (
    storage_id INTEGER NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL,
    value TEXT, PRIMARY KEY (storage_id, key, seq)
  ) WITHOUT ROWID;
  CREATE TABLE writes (
    storage_id INTEGER NOT NULL, write_id TEXT NOT NULL, seq INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL, PRIMARY KEY (storage_id, write_id)
  ) WITHOUT ROWID;
  CREATE INDEX writes_by_seq ON writes (storage_id, seq);
  CREATE TABLE garbage (storage_id INTEGER PRIMARY KEY);
  INSERT INTO meta VALUES ('format', '1'), ('agent/node_epoch', '7');
  INSERT INTO row_versions VALUES (3, 'a', 4, 1, 0, '"older"'), (3, 'a', 5, 1, 0, '"old"'), (9, 'gone', 1, 1, 0, '1');
  INSERT INTO garbage VALUES (9);
`;

const descriptor = toWireDescriptor(aShard(), (node) => ({ host: node, port: 7000 }));
const RECORD = [
  'shard-1',
  'r-1',
  3,
  'store-1',
  JSON.stringify(descriptor),
  1,
  5,
  null,
  null,
  1,
  1,
  5,
  1,
  5,
  1,
  0,
  1,
  6,
];

describe('a file of format 1', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'engine-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  function old(checksum: number): string {
    const path = join(folder, 'node.sqlite');
    const db = new DatabaseSync(path);
    db.exec(FORMAT_1);
    db.prepare(`INSERT INTO replicas VALUES (${'?,'.repeat(RECORD.length)}?)`).run(...RECORD, checksum);
    db.close();
    return path;
  }

  it('is read by this program, once and for all', () => {
    const path = old(crc32(JSON.stringify(RECORD)));
    for (let i = 0; i < 2; i++) {
      const engine = openEngine({ path });
      const meta = engine.replica('shard-1')!;
      expect(meta).toMatchObject({ storageId: 3, segments: [{ from: '', rowsId: 3 }], last: { epoch: 1, seq: 5 } });
      expect([4, 5].map((seq) => engine.row(meta, 'a', seq)?.value)).toEqual(['"older"', '"old"']);
      expect(engine.get('node_epoch')).toBe('7');
      while (engine.transaction((tx) => tx.purge(10)));
      // A number that was in use before is not given out again.
      expect(engine.transaction((tx) => tx.openStaging())).toBeGreaterThan(9);
      engine.close();
    }
    const db = new DatabaseSync(path);
    expect(db.prepare('SELECT count(*) AS n FROM row_versions WHERE rows_id = 9').get()?.['n']).toBe(0);
    // The tables of large rows are those of a new file, and nothing is left of the old ones.
    const tables = (file: DatabaseSync): unknown[] =>
      file.prepare("SELECT name, sql FROM sqlite_master WHERE name IN ('log', 'row_versions') ORDER BY name").all();
    const fresh = new DatabaseSync(':memory:');
    fresh.exec(SCHEMA);
    expect(tables(db)).toEqual(tables(fresh));
    expect(
      db
        .prepare("SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name LIKE '%\\_2' ESCAPE '\\'")
        .get()?.['n'],
    ).toBe(0);
    db.close();
  });

  it('with a damaged record is refused, not repaired', () => {
    const path = old(1);
    expect(() => openEngine({ path })).toThrow('fails its checksum');
    expect(() => openEngine({ path })).toThrow('fails its checksum');
  });
});
