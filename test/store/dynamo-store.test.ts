import { DynamoStore } from '../../shared/store/dynamo-store.ts';
import { findEngine, startEngine, testTables } from '../support/dynamo-engine.ts';
import type { DynamoEngine } from '../support/dynamo-engine.ts';
import { hastyTimers, seededRandom } from '../support/environment.ts';
import { metadataStoreContract } from './metadata-store-contract.ts';

const engineFound = findEngine();
if (engineFound.kind === 'none') console.warn(`DynamoDB contract suite skipped: ${engineFound.why}`);

(engineFound.kind === 'none' ? describe.skip : describe)('the DynamoDB store keeps the contract', () => {
  let engine: DynamoEngine | undefined;
  afterAll(() => engine?.stop());
  metadataStoreContract(async () => {
    engine = await startEngine();
    // A seed of the process: write ids are unique over runs against one engine.
    const random = seededRandom(Date.now());
    return new DynamoStore({ client: engine.client, tables: testTables, random, timers: hastyTimers });
  });
});
