import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyContents, emptyDisk, isFull, swapContents } from './disks.ts';

describe('directories of nodes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'shardkeeper-disks-'));
  const [one, other] = [join(folder, 'one'), join(folder, 'other')];
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeEach(() => {
    for (const dir of [one, other]) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(join(dir, 'engine'), { recursive: true });
      writeFileSync(join(dir, 'engine', 'rows'), dir);
    }
    writeFileSync(join(one, 'only-here'), '1');
  });

  it('are swapped', () => {
    swapContents(one, other);
    expect(readFileSync(join(one, 'engine', 'rows'), 'utf8')).toBe(other);
    expect(readFileSync(join(other, 'engine', 'rows'), 'utf8')).toBe(one);
    expect([readdirSync(one), readdirSync(other)]).toEqual([['engine'], ['engine', 'only-here']]);
    expect(readdirSync(folder)).toEqual(['one', 'other']);
  });

  it('are full between the filling of their disk and its end', () => {
    expect(isFull(one)).toBe(false);
    writeFileSync(join(one, 'filler'), 'x');
    expect(isFull(one)).toBe(true);
    emptyDisk(one);
    expect([isFull(one), readdirSync(one)]).toEqual([false, ['engine', 'only-here']]);
  });

  it('are replaced by a copy, of which nothing older is left', () => {
    copyContents(other, one);
    expect(readdirSync(one)).toEqual(['engine']);
    expect(readFileSync(join(one, 'engine', 'rows'), 'utf8')).toBe(other);
  });
});
