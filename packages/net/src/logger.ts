/** Writes log lines, as text or JSON, from a level that can be changed while running. */
import type { LogFields, Logger, LogLevel } from "@weft/core/world";

export interface LineLogger extends Logger {
  level: LogLevel;
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
  let level = options.level;
  let rank = logLevels.indexOf(level);
  const at = (name: LogLevel) => {
    const own = logLevels.indexOf(name);
    return (message: string, fields?: LogFields): void => {
      if (own >= rank)
        options.write(`${line(new Date(options.wallMs()).toISOString(), name, message, fields ?? {})}\n`);
    };
  };
  return {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    get level() {
      return level;
    },
    set level(next) {
      level = next;
      rank = logLevels.indexOf(next);
    },
  };
};

const jsonLine = (time: string, level: string, message: string, fields: LogFields): string =>
  JSON.stringify({ time, level, message, ...fields });

const textLine = (time: string, level: string, message: string, fields: LogFields): string => {
  let text = `${time} ${level.toUpperCase().padEnd(5)} ${message.replace(lineEnds, escaped)}`;
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined) text += ` ${key}=${quoted(String(value))}`;
  return text;
};

const lineEnds = /[\x00-\x1f\x7f\u2028\u2029]/g;
const escaped = (character: string): string => JSON.stringify(character).slice(1, -1);
const quoted = (value: string): string => (/^[\w./:@~+,%[\]*-]+$/.test(value) ? value : JSON.stringify(value));
