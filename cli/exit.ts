import type { ClientError } from '../client/index.ts';

/** Exit codes of shardctl; the README and `shardctl --help` list them. */
export const EXIT = {
  OK: 0,
  /** The server refused, or an operation that was waited for failed. */
  REFUSED: 1,
  /** Wrong arguments, or no token. */
  USAGE: 2,
  /** The control plane did not answer. */
  UNREACHABLE: 3,
  /** No final answer in time; of a write the outcome may be unknown. */
  TIMEOUT: 4,
  /** `get` found no row. */
  NOT_FOUND: 5,
  /** An operation that was waited for was cancelled. */
  CANCELLED: 6,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  refused by the server, or the operation failed
  2  wrong usage, or no token
  3  the control plane is unreachable
  4  no final answer in time (a write may or may not have been applied)
  5  the row does not exist
  6  the operation that was waited for was cancelled`;

/** A failure that ends the command: a stable code, a text for people, an exit code for scripts. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exit: ExitCode;
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(exit: ExitCode, code: string, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.exit = exit;
    this.code = code;
    this.details = details;
  }
}

/** The client library's failures in shardctl's terms. */
export function fromClientError(error: ClientError): CliError {
  const details = { outcome: error.outcome };
  if (error.code !== 'DEADLINE') return new CliError(EXIT.REFUSED, error.code, error.message, details);
  const unknown = error.outcome === 'UNKNOWN' ? ' The write may or may not have been applied.' : '';
  return new CliError(EXIT.TIMEOUT, error.code, error.message + unknown, details);
}
