import type { RegisterOperation } from './operations.ts';

/** All orders of the operations that respect real time, tried one by one: slow and obviously right. For a dozen operations. */
export function linearizableBySearch(history: readonly RegisterOperation[]): boolean {
  const endOf = (operation: RegisterOperation): number => operation.endMs ?? Infinity;
  const search = (left: readonly RegisterOperation[], value: string | null): boolean => {
    if (left.every((operation) => operation.endMs === null)) return true;
    const firstEndMs = Math.min(...left.map(endOf));
    return left.some((operation) => {
      if (operation.startMs > firstEndMs) return false;
      if (operation.kind === 'read' && operation.value !== value) return false;
      const rest = left.filter((other) => other !== operation);
      return search(rest, operation.kind === 'write' ? operation.value : value);
    });
  };
  return search(history, null);
}
