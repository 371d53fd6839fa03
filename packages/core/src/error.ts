/**
 * The one error a person reads. It says what failed, where, why and what to do next, under a stable code
 * WFnnnn: 1xxx configuration, 2xxx control plane, 3xxx xDS, 4xxx authorization, 5xxx data path,
 * 6xxx interception and injection, 7xxx identity, 8xxx registry, 9xxx installation and command line.
 */
export class WeftError extends Error {
  readonly code: string;
  readonly where: SourcePosition | undefined;
  readonly next: string | undefined;

  constructor(code: string, message: string, options: { where?: SourcePosition; next?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "WeftError";
    this.code = code;
    this.where = options.where;
    this.next = options.next;
  }
}

/** A place in a file the user wrote; line and column count from 1. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export const formatPosition = ({ file, line, column }: SourcePosition): string => `${file}:${line}:${column}`;

/** `CODE [file:line:column] message[. Next: …]`, the form every command prints on standard error. */
export const formatError = (error: unknown): string => {
  if (!(error instanceof WeftError)) return error instanceof Error ? error.message : String(error);
  const where = error.where ? `${formatPosition(error.where)} ` : "";
  return `${error.code} ${where}${error.message}${error.next ? `. Next: ${error.next}` : ""}`;
};
