import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { isBuiltin } from 'node:module';
import { layers } from './layers.js';

/** Judges the imports of source files by the table of layers. */
export const ROOT = resolve(import.meta.dirname, '../..');

export interface Violation {
  readonly file: string;
  readonly imports: string;
  readonly why: string;
}

const within = (folder: string, path: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** The layer of a file, by the most specific folder; undefined for folders that may import anything. */
export const layerOf = (file: string) =>
  layers.filter((layer) => within(layer.folder, file)).toSorted((a, b) => b.folder.length - a.folder.length)[0];

/** Module specifiers of a source text: static, re-exported, dynamic. */
export function specifiersOf(source: string): readonly string[] {
  const patterns = [
    /(?:^|[\n;}])\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]/g,
    /(?:^|[\n;}])\s*import\s*['"]([^'"]+)['"]/g,
    /\bimport\(\s*['"]([^'"]+)['"]/g,
  ];
  return patterns.flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1] ?? ''));
}

/** What is wrong with the imports of one file (path from the root). */
export function violationsOf(file: string, source: string): readonly Violation[] {
  const layer = layerOf(file);
  if (layer === undefined) return [];
  return specifiersOf(source)
    .filter((specifier) => !isAllowed(layer, file, specifier))
    .map((imports) => ({ file, imports, why: layer.why }));
}

function isAllowed(layer: (typeof layers)[number], file: string, specifier: string): boolean {
  if (specifier.startsWith('.')) {
    const target = relative(ROOT, resolve(ROOT, dirname(file), specifier));
    return within(layer.folder, target) || layer.mayImport.some((allowed) => within(allowed, target));
  }
  if (isBuiltin(specifier)) return layer.builtins;
  return layer.packages === 'any' || layer.packages.some((name) => within(name, specifier));
}

/** Every TypeScript source below a folder of the root, as paths from the root. */
export function sourcesUnder(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs|js)$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
}

export const readSource = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
