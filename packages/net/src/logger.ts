/** Writes log lines, as text or JSON, from levels that can be changed while running. */
import {
  type LogFields,
  type Logger,
  type LogLevel,
  type LogScope,
  logScopes,
  type ScopedLogger,
} from "@weft/core/world";

export interface LineLogger extends ScopedLogger {
  /** That of `main`; setting it sets every scope's. */
  level: LogLevel;
  readonly levels: () => ReadonlyMap<LogScope, LogLevel>;
  readonly setLevel: (scope: LogScope, level: LogLevel) => void;
}

export const logLevels: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error", "off"];

export interface LoggerOptions {
  readonly write: (line: string) => void;
  readonly format: "text" | "json";
  readonly level: LogLevel;
  readonly wallMs: () => number;
}

/** One line per call and never more: line ends within messages and values are escaped. */
export const createLogger = (options: LoggerOptions): LineLogger => {
  const line = options.format === "json" ? jsonLine : textLine;
  const levels = new Map<LogScope, LogLevel>(logScopes.map((scope) => [scope, options.level]));
  const ranks = new Map<LogScope, number>();
  const setLevel = (scope: LogScope, level: LogLevel): void => {
    levels.set(scope, level);
    ranks.set(scope, logLevels.indexOf(level));
  };
  for (const scope of logScopes) setLevel(scope, options.level);
  const loggerOf = (scope: LogScope): Logger => {
    const named = scope === "main" ? {} : { scope };
    const at = (name: LogLevel) => {
      const own = logLevels.indexOf(name);
      return (message: string, fields?: LogFields): void => {
        if (own >= (ranks.get(scope) ?? 0))
          options.write(`${line(new Date(options.wallMs()).toISOString(), name, message, { ...named, ...fields })}\n`);
      };
    };
    return { trace: at("trace"), debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  };
  const scopes = new Map<LogScope, Logger>(logScopes.map((scope) => [scope, loggerOf(scope)]));
  const main = scopes.get("main") as Logger;
  return {
    ...main,
    scope: (name) => scopes.get(name) as Logger,
    levels: () => levels,
    setLevel,
    get level() {
      return levels.get("main") as LogLevel;
    },
    set level(next) {
      for (const scope of logScopes) setLevel(scope, next);
    },
  };
};

const jsonLine = (time: string, level: string, message: string, fields: LogFields): string =>
  jsonText({ time, level, message, ...fields });

const textLine = (time: string, level: string, message: string, fields: LogFields): string => {
  let text = `${time} ${level.toUpperCase().padEnd(5)} ${message.replace(unsafe, escaped)}`;
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined) text += ` ${key}=${quoted(String(value))}`;
  return text;
};

/** Ends of lines, and what terminals take for the start of a sequence: 0x9b is one by itself. */
const unsafe = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g;
const numbered = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
const escaped = (character: string): string => {
  const text = JSON.stringify(character).slice(1, -1);
  return text === character ? numbered(character) : text;
};
const jsonText = (value: unknown): string => JSON.stringify(value).replace(unsafe, numbered);
const quoted = (value: string): string => (/^[\w./:@~+,%[\]*-]+$/.test(value) ? value : jsonText(value));
