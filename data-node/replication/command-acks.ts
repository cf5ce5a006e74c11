import type { CommandAck, NodeCommand } from '../../shared/contracts/node/commands.ts';

/** Answers to a command. */
export const done = (command: NodeCommand): CommandAck => ({
  command_id: command.command_id,
  outcome: 'DONE',
  code: null,
  message: null,
  receipt: null,
});

export const refused = (command: NodeCommand, code: string, message: string): CommandAck => ({
  command_id: command.command_id,
  outcome: 'REFUSED',
  code,
  message,
  receipt: null,
});
