import { setNodePlacement } from '../../shared/usecases/node-placement.ts';
import { setPlacementConfig } from '../../shared/usecases/placement-config.ts';
import type { WaveStory } from './wave-story.ts';

/** Labels, weights and placement rules of a cluster under test, set as operators set them. */

type Rules = Parameters<typeof setPlacementConfig>[2]['body']['rules'];
export const rule = (over: Partial<Rules[number]>): Rules[number] => ({
  tables: ['*'],
  required: [],
  forbidden: [],
  leader_preference: null,
  ...over,
});
export const SSD = { key: 'disk', values: ['ssd'] };

export const label = async (told: WaveStory, node: number, body: Parameters<typeof setNodePlacement>[2]['body']) => {
  const answer = await told.world.call('setNodePlacement', setNodePlacement, {
    params: { node_id: `node-${node}` },
    body,
  });
  if (!answer.ok) throw new Error(answer.error.message);
};
export const setRules = async (told: WaveStory, ...rules: Rules): Promise<void> => {
  const answer = await told.world.call('setPlacementConfig', setPlacementConfig, { body: { rules } });
  if (!answer.ok) throw new Error(answer.error.message);
};
/** Nodes 1 to 3 are on SSDs, and so shall be the table. */
export const ssdOnly = async (told: WaveStory): Promise<void> => {
  for (const node of [1, 2, 3]) await label(told, node, { labels: { disk: 'ssd' } });
  await setRules(told, rule({ tables: ['rows'], required: [SSD] }));
};
