/** `/logging`: levels by logger, as Envoy takes and shows them, and for a while only where that is asked for. */
import { parseGoDuration } from "@weft/core/duration";
import { type LogLevel, type LogScope, logScopes, type SetTimer } from "@weft/core/world";
import type { AdminReply, AdminRequest } from "./admin.ts";

/** What has levels to change: the process's logger. */
export interface LogControl {
  readonly levels: () => ReadonlyMap<LogScope, LogLevel>;
  readonly setLevel: (scope: LogScope, level: LogLevel) => void;
}

export interface LogLevels {
  readonly levels: () => ReadonlyMap<LogScope, LogLevel>;
  /** Sets levels for good, or for so long: then those from before come back. */
  readonly change: (levels: ReadonlyMap<LogScope, LogLevel>, forMs: number | undefined) => void;
}

/** A scope's level from before a change for a while, and the timer that brings it back. */
interface Lent {
  readonly level: LogLevel;
  readonly timer: Disposable;
}

export const createLogLevels = (log: LogControl, setTimer: SetTimer): LogLevels => {
  const lent = new Map<LogScope, Lent>();
  return {
    levels: log.levels,
    change: (levels, forMs) => {
      for (const [scope, level] of levels) {
        const before = lent.get(scope);
        before?.timer[Symbol.dispose]();
        lent.delete(scope);
        if (forMs !== undefined) {
          const restored = before?.level ?? log.levels().get(scope) ?? level;
          const back = (): void => {
            lent.delete(scope);
            log.setLevel(scope, restored);
          };
          lent.set(scope, { level: restored, timer: setTimer(back, forMs) });
        }
        log.setLevel(scope, level);
      }
    },
  };
};

const levels: ReadonlyMap<string, LogLevel> = new Map([
  ["trace", "trace"],
  ["debug", "debug"],
  ["info", "info"],
  ["warning", "warn"],
  ["warn", "warn"],
  ["error", "error"],
  ["critical", "error"],
  ["off", "off"],
]);
const levelNames: ReadonlyMap<LogLevel, string> = new Map([["warn", "warning"]]);
export const levelName = (level: LogLevel): string => levelNames.get(level) ?? level;

/** A level for a while lasts this long at most. */
const forMostMs = 24 * 3_600_000;

const usage = [
  "usage: /logging?<name>=<level> (change single level)",
  "usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)",
  "usage: /logging?level=<level> (change all levels)",
  "usage: add &for=<duration> (the levels of before come back after it: 30s, 10m)",
  "levels: trace debug info warning error critical off",
].join("\n");

type Parsed =
  | { readonly kind: "levels"; readonly levels: ReadonlyMap<LogScope, LogLevel>; readonly forMs: number | undefined }
  | { readonly kind: "error"; readonly message: string };

const refused = (message: string): Parsed => ({ kind: "error", message });
const isScope = (name: string): name is LogScope => logScopes.some((scope) => scope === name);

const assignments = (query: URLSearchParams): readonly (readonly [name: string, level: string])[] => {
  const all = query.get("level");
  if (all !== null) return logScopes.map((scope) => [scope, all] as const);
  const paths = query.get("paths");
  if (paths !== null)
    return paths
      .split(",")
      .filter((part) => part !== "")
      .map((part) => {
        const colon = part.lastIndexOf(":");
        return [part.slice(0, Math.max(colon, 0)), part.slice(colon + 1)] as const;
      });
  return [...query].filter(([name]) => name !== "for");
};

/** What a query asks for. Nothing is changed unless all of it can be. */
const parse = (query: URLSearchParams): Parsed => {
  const wanted = new Map<LogScope, LogLevel>();
  for (const [name, text] of assignments(query)) {
    const level = levels.get(text.toLowerCase());
    if (!isScope(name)) return refused("unknown logger name");
    if (!level) return refused("unknown logger level");
    wanted.set(name, level);
  }
  const text = query.get("for");
  if (text === null) return { kind: "levels", levels: wanted, forMs: undefined };
  const forMs = parseGoDuration(text);
  if (forMs === undefined || forMs <= 0 || forMs > forMostMs)
    return refused(`for must be a duration over 0 and up to 24h, such as 10m; it is "${text}"`);
  return { kind: "levels", levels: wanted, forMs };
};

const list = (log: LogLevels): string => {
  const lines = [...log.levels()].map(([scope, level]) => `  ${scope}: ${levelName(level)}\n`);
  return `active loggers:\n${lines.join("")}\n`;
};

const text = (body: string, status = 200): AdminReply => ({ status, type: "text/plain; charset=UTF-8", body });

/** Lists the loggers; changes them when POSTed to with parameters. */
export const answerLogging = ({ method, query }: AdminRequest, log: LogLevels): AdminReply => {
  const parsed = parse(query);
  if (query.size > 0 && method !== "POST") return text(`Method ${method} not allowed, POST required.`, 405);
  if (parsed.kind === "error") return text(`error: ${parsed.message}\n\n${usage}\n${list(log)}`, 400);
  log.change(parsed.levels, parsed.forMs);
  return text(list(log));
};
