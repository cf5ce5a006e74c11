import { nodeId } from '../../shared/domain/ids.ts';
import { StoreError } from '../../shared/ports.ts';
import { acknowledge, commandWorld, draft, leftovers, mailbox, mailOf, task } from '../support/command-world.ts';
import { aShard } from '../support/shards.ts';

describe('sending commands', () => {
  test('pushes them signed, with the descriptor and its nodes’ addresses, and keeps nothing', async () => {
    const given = await commandWorld();
    const answers = await given.commands.send([draft(1, 'become_leader')]);
    expect(answers).toEqual([{ outcome: 'DONE', receipt: null }]);
    const command = given.pushed[0]!.commands[0]!;
    expect(command).toMatchObject({ type: 'become_leader', node_id: 'node-1', epoch: 1, generation: 1 });
    expect(command.signature).toBe(`signed:${command.command_id}`);
    expect(command.descriptor?.replicas.map((replica) => replica.address?.port)).toEqual([7001, 7002, 7003]);
    expect(await leftovers(given)).toBe(0);
    expect(await mailOf(given, 1)).toBe(0);
  });

  test('groups them by node, at most 100 a message, and answers in the order of the drafts', async () => {
    const given = await commandWorld();
    given.behave(2, { refuse: 'STALE_EPOCH' });
    const drafts = Array.from({ length: 205 }, (_, index) => draft(index % 3 === 0 ? 2 : 1));
    const answers = await given.commands.send(drafts);
    expect(answers.map((answer) => answer.outcome)).toEqual(
      drafts.map((one) => (one.nodeId === 'node-2' ? 'REFUSED' : 'DONE')),
    );
    const sizes = given.pushed.map(({ node, commands }) => `${node}: ${commands.length}`).sort();
    expect(sizes).toEqual(['node-1: 100', 'node-1: 36', 'node-2: 69']);
  });

  test('leaves them in the mailbox of a silent node and tells its heartbeat so', async () => {
    const given = await commandWorld();
    given.behave(2, 'SILENT');
    const answers = await given.commands.send([draft(1), draft(2, 'create_replica'), draft(2, 'remove_replica')]);
    expect(answers.map((answer) => answer.outcome)).toEqual(['DONE', 'QUEUED', 'QUEUED']);
    expect((await mailbox(given, 2)).map((command) => command.type)).toEqual(['create_replica', 'remove_replica']);
    expect([await mailOf(given, 1), await mailOf(given, 2)]).toEqual([0, 1]);
  });

  test('keeps a removal that a full disk refuses, until the node has done it', async () => {
    const given = await commandWorld();
    given.behave(2, { refuse: 'STORAGE' });
    const answers = await given.commands.send([draft(2, 'remove_replica'), draft(2, 'apply_descriptor')]);
    expect(answers.map((answer) => answer.outcome)).toEqual(['REFUSED', 'REFUSED']);
    const [kept, ...others] = await mailbox(given, 2);
    expect([kept?.type, others.length, await mailOf(given, 2)]).toEqual(['remove_replica', 0, 1]);
    await acknowledge(given, 2, kept!.command_id, 'REFUSED');
    expect(await mailbox(given, 2)).toHaveLength(1);
    await acknowledge(given, 2, kept!.command_id);
    expect(await leftovers(given)).toBe(0);
  });

  test('with push switched off goes by mailbox alone', async () => {
    const given = await commandWorld({ pushToNodes: false });
    expect(await given.commands.send([draft(1)])).toEqual([{ outcome: 'QUEUED' }]);
    expect([given.pushed.length, (await mailbox(given, 1)).length, await mailOf(given, 1)]).toEqual([0, 1, 1]);
  });

  test('to a node that is not known keeps them for its arrival', async () => {
    const given = await commandWorld();
    expect(await given.commands.send([draft(9)])).toEqual([{ outcome: 'QUEUED' }]);
    expect(await mailbox(given, 9)).toHaveLength(1);
  });

  test('brings a step-down receipt only for the replica that was asked (E2)', async () => {
    const given = await commandWorld();
    const [answer] = await given.commands.send([draft(1, 'step_down')]);
    expect(answer).toEqual({ outcome: 'DONE', receipt: { epoch: 1, generation: 1 } });
  });

  test('fails when a command can be neither pushed nor kept', async () => {
    const given = await commandWorld();
    given.behave(1, 'SILENT');
    given.world.faults.use((call) => (call.method === 'write' ? { refuse: 'THROTTLED' } : null));
    await expect(given.commands.send([draft(1)])).rejects.toThrow(StoreError);
  });

  test('survives a heartbeat that raises the mail counter at the same moment', async () => {
    const given = await commandWorld();
    given.behave(1, 'SILENT');
    await Promise.all([given.commands.send([draft(1)]), given.commands.send([draft(1)])]);
    expect(await mailOf(given, 1)).toBeGreaterThanOrEqual(1);
    expect(await mailbox(given, 1)).toHaveLength(2);
  });
});

describe('a mailbox', () => {
  test('keeps the order of sending and is emptied by acknowledgements', async () => {
    const given = await commandWorld({ pushToNodes: false });
    await given.commands.send([draft(1, 'create_replica')]);
    await given.commands.send([draft(1, 'become_leader')]);
    const [first, second] = await mailbox(given, 1);
    expect([first?.type, second?.type]).toEqual(['create_replica', 'become_leader']);
    await acknowledge(given, 1, first!.command_id, 'ACCEPTED');
    expect(await mailbox(given, 1)).toHaveLength(2);
    await acknowledge(given, 1, first!.command_id);
    await acknowledge(given, 1, first!.command_id);
    expect((await mailbox(given, 1)).map((command) => command.type)).toEqual(['become_leader']);
    await acknowledge(given, 1, 'cmd-unknown');
  });

  test('drops what is too old, but not removals, which nobody would decide again', async () => {
    const given = await commandWorld({ pushToNodes: false });
    await given.commands.send([draft(1, 'apply_descriptor'), draft(1, 'remove_replica'), draft(1, 'become_leader')]);
    given.world.clock.advance(2 * 3_600_000);
    expect((await mailbox(given, 1)).map((command) => command.type)).toEqual(['remove_replica']);
    expect(await leftovers(given)).toBe(1);
  });

  test('fills its answer past expired commands', async () => {
    const given = await commandWorld({ pushToNodes: false });
    await given.commands.send(Array.from({ length: 120 }, () => draft(1)));
    given.world.clock.advance(3_600_000);
    await given.commands.send([draft(1, 'step_down')]);
    expect((await given.commands.pending(nodeId('node-1'), 50)).length).toBe(1);
  });
});

describe('commands that a task waits for', () => {
  const three = [draft(1, 'create_replica'), draft(2, 'create_replica'), draft(3, 'create_replica')];

  test('end it when all are done at once, and leave nothing behind', async () => {
    const given = await commandWorld();
    await given.commands.sendForTask(three, task);
    expect(given.tasks).toEqual(['token-1 succeeded']);
    expect(await leftovers(given)).toBe(0);
  });

  test('end it when the last one is acknowledged later, by report or heartbeat, once', async () => {
    const given = await commandWorld();
    given.behave(2, 'ACCEPTED');
    given.behave(3, 'SILENT');
    await given.commands.sendForTask(three, task);
    expect(given.tasks).toEqual([]);
    const accepted = given.pushed.find(({ node }) => node === 'node-2')!.commands[0]!;
    const queued = (await mailbox(given, 3))[0]!;
    expect([await mailOf(given, 2), await mailOf(given, 3)]).toEqual([0, 1]);
    await acknowledge(given, 2, accepted.command_id);
    await acknowledge(given, 2, accepted.command_id);
    expect(given.tasks).toEqual([]);
    await acknowledge(given, 3, queued.command_id);
    await acknowledge(given, 3, queued.command_id);
    expect(given.tasks).toEqual(['token-1 succeeded']);
    expect(await leftovers(given)).toBe(0);
  });

  test('fail it with the code of the first refusal', async () => {
    const given = await commandWorld();
    given.behave(2, { refuse: 'STORAGE' });
    await given.commands.sendForTask(three, task);
    expect(given.tasks).toEqual(['token-1 failed: STORAGE']);
  });

  test('fail it when the refusal comes later; what is acknowledged after that changes nothing', async () => {
    const given = await commandWorld({ pushToNodes: false });
    await given.commands.sendForTask(three, task);
    const [one, two] = [(await mailbox(given, 1))[0]!, (await mailbox(given, 2))[0]!];
    await acknowledge(given, 1, one.command_id, 'REFUSED');
    await acknowledge(given, 2, two.command_id);
    expect(given.tasks).toEqual(['token-1 failed: STORAGE']);
  });

  test('are stored before they are pushed: a crash while pushing loses none', async () => {
    const given = await commandWorld();
    const { store } = given.world;
    const order: string[] = [];
    given.world.faults.use((call) => {
      if (call.method === 'write') order.push(call.writes[0]!.kind);
      return null;
    });
    for (const node of [1, 2, 3]) given.behave(node, 'SILENT');
    await given.commands.sendForTask(three, task);
    expect(order.slice(0, 4)).toEqual(['put', 'put', 'put', 'put']);
    expect(await store.query({ table: 'operations', pk: 'N#node-2', order: 'forward', limit: 9 })).toMatchObject({
      items: [{ body: { nodeId: 'node-2' } }],
    });
  });

  test('acknowledged all at the same moment end it', async () => {
    const given = await commandWorld({ pushToNodes: false, nodes: 12 });
    const shard = aShard();
    await given.commands.sendForTask(
      Array.from({ length: 12 }, (_, index) => draft(index + 1, 'create_replica', shard)),
      task,
    );
    const ids = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => (await mailbox(given, index + 1))[0]!.command_id),
    );
    await Promise.all(ids.map((id, index) => acknowledge(given, index + 1, id)));
    expect(given.tasks).toEqual(['token-1 succeeded']);
  });

  test('whose task could not be answered answer it at the repeated acknowledgement', async () => {
    const given = await commandWorld({ pushToNodes: false });
    await given.commands.sendForTask([draft(1, 'create_replica')], task);
    const { command_id: id } = (await mailbox(given, 1))[0]!;
    given.failTaskCalls(1);
    await expect(acknowledge(given, 1, id)).rejects.toThrow('does not answer');
    await acknowledge(given, 1, id);
    expect(given.tasks).toEqual(['token-1 succeeded']);
    expect(await leftovers(given)).toBe(0);
  });

  test('of a redriven step end the new token; late acknowledgements of the old ones do no harm', async () => {
    const given = await commandWorld({ pushToNodes: false });
    await given.commands.sendForTask([draft(1, 'create_replica')], task);
    const [old] = await mailbox(given, 1);
    await given.commands.sendForTask([draft(1, 'create_replica')], { ...task, taskToken: 'token-2' });
    const [, fresh] = await mailbox(given, 1);
    await acknowledge(given, 1, fresh!.command_id);
    expect(given.tasks).toEqual(['token-2 succeeded']);
    await acknowledge(given, 1, old!.command_id);
    expect(given.tasks).toEqual(['token-2 succeeded', 'token-1 succeeded']); // a finished token is ignored by its owner
  });

  test('that expired take their batch along', async () => {
    const given = await commandWorld({ pushToNodes: false });
    await given.commands.sendForTask([draft(1, 'create_replica')], task);
    given.world.clock.advance(3_600_000);
    expect(await mailbox(given, 1)).toEqual([]);
    expect(await leftovers(given)).toBe(0);
  });

  test('of which there are none end it at once', async () => {
    const given = await commandWorld();
    await given.commands.sendForTask([], task);
    expect(given.tasks).toEqual(['token-1 succeeded']);
  });
});
