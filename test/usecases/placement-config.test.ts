import { nodeId } from '../../shared/domain/ids.ts';
import { createCodec } from '../../shared/store/codec.ts';
import { node as nodeSchema } from '../../shared/store/codecs/cluster.ts';
import { entities } from '../../shared/store/entities.ts';
import { clusterHealth } from '../../shared/usecases/cluster-health.ts';
import { decommissionNode } from '../../shared/usecases/drain-node.ts';
import { cordonNode } from '../../shared/usecases/node-care.ts';
import { setNodePlacement } from '../../shared/usecases/node-placement.ts';
import { getNode } from '../../shared/usecases/nodes.ts';
import { setPlacementConfig } from '../../shared/usecases/placement-config.ts';
import { registerNode } from '../../shared/usecases/register-node.ts';
import { label, rule, setRules, SSD, ssdOnly } from '../support/placement-story.ts';
import { useCaseWorld } from '../support/use-case-world.ts';
import { waveStory } from '../support/wave-story.ts';
import type { WaveStory } from '../support/wave-story.ts';

/** Labels, weights and placement rules as they are stored, by registrations and by operators; and rules that are refused. */

describe('what is stored', () => {
  const shown = async (told: WaveStory, node: number) => {
    const answer = await told.world.call('getNode', getNode, { params: { node_id: `node-${node}` } });
    if (!answer.ok) throw new Error(answer.error.message);
    const { labels, capacity_weight, placement_set_by } = answer.value;
    return [labels, capacity_weight, placement_set_by];
  };
  let starts = 0;
  const register = async (told: WaveStory, said: object): Promise<void> => {
    starts += 1;
    const before = await told.world.records.get('liveness', { nodeId: nodeId('node-6') });
    if (before !== null)
      await told.world.records.observe({
        kind: 'update',
        entity: 'liveness',
        id: { nodeId: nodeId('node-6') },
        set: { released: true },
        when: [{ kind: 'revision', is: before.revision }],
      });
    const answer = await told.world.call('registerNode', registerNode, {
      body: {
        node_id: 'node-6',
        host: 'h',
        port: 1,
        zone: 'z6',
        incarnation: `inc-${starts}`,
        store_uuid: 's-6',
        ...said,
      },
    });
    if (!answer.ok) throw new Error(answer.error.message);
  };

  test('a registration says labels and weight; what an operator set outlives later registrations', () =>
    waveStory(async (told) => {
      await register(told, {});
      expect(await shown(told, 6)).toEqual([{}, 1, 'registration']);
      await register(told, { labels: { disk: 'ssd' }, capacity_weight: 2 });
      expect(await shown(told, 6)).toEqual([{ disk: 'ssd' }, 2, 'registration']);
      await register(told, {}); // as a node of an earlier release would
      expect(await shown(told, 6)).toEqual([{ disk: 'ssd' }, 2, 'registration']);
      await register(told, { labels: { disk: 'hdd' } });
      expect(await shown(told, 6)).toEqual([{ disk: 'hdd' }, 2, 'registration']);
      await label(told, 6, { labels: { disk: 'nvme', rack: 'r1' } });
      expect(await shown(told, 6)).toEqual([{ disk: 'nvme', rack: 'r1' }, 2, 'operator']);
      await register(told, { labels: { disk: 'hdd' }, capacity_weight: 1 });
      expect(await shown(told, 6)).toEqual([{ disk: 'nvme', rack: 'r1' }, 2, 'operator']);
      await label(told, 6, { capacity_weight: 0.5 });
      expect(await shown(told, 6)).toEqual([{ disk: 'nvme', rack: 'r1' }, 0.5, 'operator']);
    }));

  test('labels and weight ride along when an earlier release, which knows of none, changes the node', () =>
    waveStory(async (told) => {
      await label(told, 1, { labels: { disk: 'ssd' }, capacity_weight: 2 });
      const stored = await told.world.records.get('node', { nodeId: nodeId('node-1') });
      const now = entities.node.codec;
      const earlier = createCodec('node', 1, nodeSchema.omit({ placement: true }));
      const read = earlier.decode(now.encode(stored!.value));
      expect(read).not.toHaveProperty('placement');
      expect(now.decode(earlier.encode({ ...read, cordoned: true }))).toEqual({ ...stored!.value, cordoned: true });
    }));

  test('a rule that no member satisfies is refused, or taken by force; an unknown table is no obstacle', () =>
    waveStory(async (told) => {
      const wanted = rule({ tables: ['later'], required: [{ key: 'gpu', values: ['yes'] }] });
      const put = (force?: boolean) =>
        told.world.call('setPlacementConfig', setPlacementConfig, {
          body: { rules: [wanted], ...(force === undefined ? {} : { force }) },
        });
      const refused = await put();
      expect(refused).toMatchObject({ ok: false, error: { code: 'PLACEMENT_UNSATISFIABLE', detail: { rule: 0 } } });
      expect(await told.world.records.get('config', { configKey: 'placement' })).toBeNull();
      expect(await put(true)).toEqual({ ok: true, value: { rules: [wanted] } });
      await label(told, 2, { labels: { gpu: 'yes' } });
      expect((await put()).ok).toBe(true);
    }));

  test('a rule that leaves a table fewer nodes than copies is refused; dead, cordoned and leaving nodes hold none', () =>
    waveStory(async (told) => {
      const put = (tables: string[], force?: boolean) =>
        told.world.call('setPlacementConfig', setPlacementConfig, {
          body: { rules: [rule({ tables, required: [SSD] })], ...(force === undefined ? {} : { force }) },
        });
      for (const node of [1, 2, 3, 4, 5]) await label(told, node, { labels: { disk: 'ssd' } });
      const leaving = { params: { node_id: 'node-4' }, query: {} };
      expect((await told.world.call('decommissionNode', decommissionNode, leaving)).ok).toBe(true);
      await told.nodes.kill(2);
      await told.world.call('cordonNode', cordonNode, { params: { node_id: 'node-3' } });
      const refused = await put(['rows']);
      expect(refused).toMatchObject({
        ok: false,
        error: {
          kind: 'CONFLICT',
          code: 'PLACEMENT_UNSATISFIABLE',
          detail: { rule: 0, table: 'rows', needed: 3, available: 2, cordoned: 1, down: 1 },
        },
      });
      if (!refused.ok)
        expect(refused.error.message).toContain('leaves it 2 nodes that can take replicas (beside 1 cordoned, 1 down)');
      expect(await told.world.records.get('config', { configKey: 'placement' })).toBeNull();
      // Nothing lies under it yet: its table is refused when it comes.
      expect((await put(['orders'])).ok).toBe(true);
      expect((await put(['*'])).ok).toBe(false);
      expect((await put(['*'], true)).ok).toBe(true);
    }));

  test('what was in force for a table already does not keep other rules from being set', () =>
    waveStory(async (told) => {
      await ssdOnly(told);
      await told.nodes.kill(1);
      const wish = rule({ tables: ['later'], leader_preference: { nodes: ['node-2'], zones: [] } });
      await setRules(told, rule({ tables: ['rows'], required: [SSD] }), wish);
      const stricter = { body: { rules: [rule({ required: [SSD], forbidden: [{ key: 'rack', values: ['r1'] }] })] } };
      expect(await told.world.call('setPlacementConfig', setPlacementConfig, stricter)).toMatchObject({
        ok: false,
        error: { code: 'PLACEMENT_UNSATISFIABLE', detail: { available: 2, down: 1 } },
      });
    }));

  test('a cluster may have its rules before its nodes', async () => {
    const world = useCaseWorld();
    const rules = [rule({ required: [SSD] })];
    expect(await world.call('setPlacementConfig', setPlacementConfig, { body: { rules } })).toMatchObject({ ok: true });
    world.close();
  });

  test('a rule that leaves a table fewer nodes than copies is a problem of the cluster until nodes are labelled', () =>
    waveStory(async (told) => {
      const problems = async (): Promise<readonly string[]> => {
        const answer = await told.world.call('clusterHealth', clusterHealth, {});
        return answer.ok ? answer.value.problems.filter((text) => text.includes('placement rule')) : [];
      };
      await label(told, 1, { labels: { disk: 'ssd' } });
      await label(told, 2, { labels: { disk: 'ssd' } });
      await told.world.call('setPlacementConfig', setPlacementConfig, {
        body: { rules: [rule({ tables: ['rows'], required: [SSD] })], force: true },
      });
      expect(await problems()).toEqual([
        'Table rows has 3 copies, and placement rule 1 (tables rows; requires disk=ssd) leaves it 2 nodes: copies stay where they are, and lost ones are not replaced. Label nodes, or change the rule (GET /config/placement).',
      ]);
      await label(told, 3, { labels: { disk: 'ssd' } });
      expect(await problems()).toEqual([]);
    }));

  test('of a node that is gone nothing is set; the same again changes nothing', () =>
    waveStory(async (told) => {
      const put = (node: string) =>
        told.world.call('setNodePlacement', setNodePlacement, {
          params: { node_id: node },
          body: { labels: { a: 'b' } },
        });
      expect(await put('nobody')).toMatchObject({ ok: false, error: { code: 'NODE_NOT_FOUND' } });
      expect((await put('node-1')).ok).toBe(true);
      const revision = async () => (await told.world.records.get('node', { nodeId: nodeId('node-1') }))?.revision;
      const before = await revision();
      expect(
        (await told.world.call('setNodePlacement', setNodePlacement, { params: { node_id: 'node-2' }, body: {} })).ok,
      ).toBe(true);
      expect((await shown(told, 2))[2]).toBe('registration');
      expect((await put('node-1')).ok).toBe(true);
      expect(await revision()).toBe(before);
    }));
});
