import type { CommandAnswer, CommandDraft, Deps } from '../../shared/ports.ts';
import type { Mistakes } from './options.ts';

/** Mistakes in splits and merges, to see that the simulation finds them. None is in production code. */
export const STRUCTURE_MISTAKES: Readonly<Record<string, { readonly mistakes: Mistakes; readonly breaks: string }>> = {
  'a merge commits without its leaders being sealed': {
    breaks: 'S2',
    mistakes: {
      alterDeps: (deps) => ({
        ...deps,
        commands: withAnswers(deps.commands, ({ type, shard }) => {
          if (type !== 'seal_merge') return null;
          const { epoch, generation } = shard;
          return { outcome: 'DONE', receipt: { epoch, generation, sealed: { epoch, seq: 1 } } };
        }),
      }),
    },
  },
};

/** Commands of which some are not sent, but answered here. */
const withAnswers = (
  commands: Deps['commands'],
  answerOf: (draft: CommandDraft) => CommandAnswer | null,
): Deps['commands'] => ({
  send: async (drafts) => {
    const answers = drafts.map(answerOf);
    const sent = await commands.send(drafts.filter((_draft, index) => answers[index] === null));
    let next = 0;
    return answers.map((answer) => answer ?? sent[next++] ?? { outcome: 'QUEUED' });
  },
  sendForTask: (drafts, task) => commands.sendForTask(drafts, task),
  pending: (nodeId, limit) => commands.pending(nodeId, limit),
  acknowledge: (nodeId, ack) => commands.acknowledge(nodeId, ack),
});
