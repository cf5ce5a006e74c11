import { MemoryStore } from '../simulation/memory-store.ts';
import { seededRandom } from '../support/environment.ts';
import { metadataStoreContract } from './metadata-store-contract.ts';

describe("the simulation's store in memory keeps the contract", () => {
  metadataStoreContract(async () => new MemoryStore({ random: seededRandom(1) }));
});
