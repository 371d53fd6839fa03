/** What pure code may ask of the outside world, handed in as arguments; `bin/` makes the real ones. */
export interface Clock {
  /** Milliseconds that never go back; only differences mean anything. */
  readonly nowMs: () => number;
  /** Milliseconds since 1970, for what is shown or stored. */
  readonly wallMs: () => number;
}

/** Uniform in [0, 1). */
export type Random = () => number;

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "off";

/** One line per call; fields come after the message as key=value or as JSON members. */
export interface Logger {
  readonly trace: (message: string, fields?: LogFields) => void;
  readonly debug: (message: string, fields?: LogFields) => void;
  readonly info: (message: string, fields?: LogFields) => void;
  readonly warn: (message: string, fields?: LogFields) => void;
  readonly error: (message: string, fields?: LogFields) => void;
}
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Parts of a process whose logging is set apart. */
export const logScopes = ["main", "admin", "config", "dns", "http", "pool", "secret", "tls", "xds"] as const;
export type LogScope = (typeof logScopes)[number];

/** A logger that makes loggers for the parts of a process; it is itself that of `main`. */
export interface ScopedLogger extends Logger {
  readonly scope: (name: LogScope) => Logger;
}

/** The logger of that part where the logger has parts; else itself. */
export const scopedLog = (log: Logger, name: LogScope): Logger =>
  "scope" in log ? (log as ScopedLogger).scope(name) : log;

export const silentLogger: Logger = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** Arms one callback; disposing disarms it. */
export type SetTimer = (callback: () => void, delayMs: number) => Disposable;
