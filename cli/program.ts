import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { addClusterCommands } from './commands/cluster.ts';
import { addNodeCommands } from './commands/nodes.ts';
import { addOperationCommands } from './commands/operations.ts';
import { addPlacementCommands } from './commands/placement.ts';
import { addConfigCommands, addRebalanceCommands } from './commands/rebalance.ts';
import { addRecoveryCommands } from './commands/recovery.ts';
import { addRouteCommands } from './commands/routes.ts';
import { addRowCommands } from './commands/rows.ts';
import { addShardCommands } from './commands/shards.ts';
import { addTableCommands } from './commands/tables.ts';
import { Context, TOKEN_FILE, URL_DEFAULT } from './context.ts';
import type { CliIo } from './context.ts';
import { CliError, EXIT, EXIT_CODES_HELP } from './exit.ts';

/** Turns the work of a command into commander's action: context first, then options, then the arguments in order. */
export type Run = <O>(
  work: (context: Context, options: O, ...args: string[]) => Promise<void>,
) => (...received: unknown[]) => Promise<void>;

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1_000_000;
const TIMEOUT_SECONDS_DEFAULT = 15;

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`must be a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

export const limitOption = (): Option =>
  new Option('--limit <count>', 'items at most').default(LIMIT_DEFAULT).argParser(wholeNumber(1, LIMIT_MAX));

export const secondsOption = (flags: string, description: string, seconds: number): Option =>
  new Option(flags, description).default(seconds).argParser(wholeNumber(1, 86_400));

/** The same without a default: left out, the control plane's applies. Its bounds are the call's. */
export const optionalSecondsOption = (flags: string, description: string, min: number, max: number): Option =>
  new Option(flags, description).argParser(wholeNumber(min, max));

/** Runs shardctl with `args` (without the program's name) and answers its exit code. Never throws for a refused command. */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  // Known before the arguments are parsed, so that a usage error is JSON too.
  const wantsJson = args.includes('--json');
  const program = build(io, wantsJson);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.OK;
  } catch (error) {
    if (error instanceof CliError) {
      tell(io, wantsJson, error.code, error.message, error.details);
      return error.exit;
    }
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.OK; // --help, --version
      if (wantsJson) tell(io, wantsJson, 'USAGE', error.message.replace(/^error: /, ''), {});
      return EXIT.USAGE;
    }
    throw error;
  }
}

function build(io: CliIo, wantsJson: boolean): Command {
  const program = new Command('shardctl')
    .description('controls a Shardkeeper cluster over HTTP')
    .option('--json', 'print JSON, for scripts', false)
    .option('--url <url>', `address of the control plane (else SHARDKEEPER_URL, else ${URL_DEFAULT})`)
    .addOption(secondsOption('--timeout <seconds>', 'longest wait for an answer', TIMEOUT_SECONDS_DEFAULT))
    .addHelpText(
      'after',
      `\nThe token comes from SHARDKEEPER_TOKEN, else from ${TOKEN_FILE} in the working directory.\n${EXIT_CODES_HELP}`,
    );
  const run: Run =
    (work) =>
    async (...received) => {
      // commander hands over the arguments, then the options, then the command.
      const options = received.at(-2);
      const texts = received.slice(0, -2).map(String);
      const global = program.opts<{ json: boolean; url?: string; timeout: number }>();
      const context = new Context(io, {
        json: global.json,
        url: global.url ?? nonEmpty(io.env['SHARDKEEPER_URL']) ?? URL_DEFAULT,
        timeoutMs: global.timeout * 1000,
      });
      await work(context, options as Parameters<typeof work>[1], ...texts);
    };
  addNodeCommands(program, run);
  addShardCommands(program, run);
  addRouteCommands(program, run);
  addTableCommands(program, run);
  addOperationCommands(program, run);
  addRowCommands(program, run);
  addClusterCommands(program, run);
  addRebalanceCommands(program, run);
  addConfigCommands(program, run);
  addPlacementCommands(program, run);
  addRecoveryCommands(program, run);
  for (const command of everyCommand(program)) {
    command.exitOverride();
    command.configureOutput({
      writeOut: (text) => {
        io.out(text);
      },
      writeErr: (text) => {
        if (!wantsJson) io.err(text);
      },
    });
  }
  return program;
}

const everyCommand = (command: Command): readonly Command[] => [
  command,
  ...command.commands.flatMap((child) => everyCommand(child)),
];

const nonEmpty = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text);

function tell(
  io: CliIo,
  json: boolean,
  code: string,
  message: string,
  details: Readonly<Record<string, unknown>>,
): void {
  io.err(json ? `${JSON.stringify({ error: { code, message, ...details } })}\n` : `shardctl: ${message} [${code}]\n`);
}
