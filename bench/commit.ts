import { execFileSync } from 'node:child_process';

/** The commit of this tree, short, for reports of runs; 'unknown' outside a git checkout. */
export function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
