import { registerHooks } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * Mistakes that are planted into the text of a module while Node loads it: in a process of their own, so that nothing of it ever
 * reaches production code. The text that is replaced must stand in the module exactly once, so that a mistake never vanishes in silence
 * when the module changes.
 */
export interface SourceChange {
  /** From the root of the project. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const ROOT = new URL('../../../', import.meta.url);

export const fileOf = (change: SourceChange): string => fileURLToPath(new URL(change.file, ROOT));

/** The text with the change made. Throws unless `find` stands in it exactly once. */
export function changedSource(source: string, { file, find, replace }: SourceChange): string {
  const parts = source.split(find);
  if (parts.length !== 2)
    throw new Error(`${file}: what a planted mistake replaces stands in it ${parts.length - 1} times: ${find}`);
  return parts.join(replace);
}

/** From now on the modules are loaded with the changes; the answer tells which of their files were not loaded yet. */
export function loadWithChanges(changes: readonly SourceChange[]): { readonly unloaded: () => readonly string[] } {
  const byUrl = Map.groupBy(changes, (change) => pathToFileURL(fileOf(change)).href);
  const loaded = new Set<string>();
  registerHooks({
    load: (url, context, nextLoad) => {
      const module = nextLoad(url, context);
      const wanted = byUrl.get(url);
      if (wanted === undefined) return module;
      if (module.source === undefined || module.source === null)
        throw new Error(`${url} was loaded without its source`);
      const text = typeof module.source === 'string' ? module.source : new TextDecoder().decode(module.source);
      loaded.add(url);
      return { ...module, source: wanted.reduce(changedSource, text) };
    },
  });
  return { unloaded: () => [...byUrl.keys()].filter((url) => !loaded.has(url)) };
}
