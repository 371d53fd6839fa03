/** Envoy and our sidecar on the same bootstrap, and the comparison of what the two did. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { envoyPath } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { type Program, startProgram, startWeft } from "@weft/testkit/processes";

/** `threads` is ours too, with several workers. */
export type ProxyName = "envoy" | "weft" | "threads";

/** One of them. */
export interface Peer {
  readonly name: ProxyName;
  readonly program: Program;
  readonly admin: number;
  /** The port of the listener of that name. */
  readonly port: (listener: string) => number;
  /** Lines of the access log so far. */
  readonly log: () => readonly string[];
}

export interface Pair extends AsyncDisposable {
  readonly envoy: Peer;
  readonly weft: Peer;
}

/** What a bootstrap is made from. */
export interface BootstrapPorts {
  readonly listener: (name: string) => number;
  readonly admin: number;
  /** The access log's file. */
  readonly log: string;
}

const readyTimeoutMs = 20_000;

/** `taken` are another's, which may not listen on them yet. */
const freePorts = async (
  names: readonly string[],
  taken: Iterable<number> = [],
): Promise<ReadonlyMap<string, number>> => {
  const ports = new Map<string, number>();
  const avoided = new Set(taken);
  for (const name of names) {
    const port = await findFreePort("127.0.0.1", 0, (one) => avoided.has(one));
    ports.set(name, port);
    avoided.add(port);
  }
  return ports;
};

const ready = async (name: ProxyName, program: Program, admin: number): Promise<void> => {
  let over = false;
  void program.exited.then(() => {
    over = true;
  });
  await eventually(
    `${name} is ready`,
    async () => {
      if (over) throw new Error(program.lines.join("\n"));
      return (await fetch(`http://127.0.0.1:${admin}/ready`)).status === 200 ? true : undefined;
    },
    readyTimeoutMs,
  );
};

const startOne = async (
  name: ProxyName,
  folder: string,
  ports: ReadonlyMap<string, number>,
  bootstrap: (ports: BootstrapPorts) => object,
): Promise<Peer> => {
  const admin = ports.get("admin") ?? 0;
  const listener = (wanted: string): number => ports.get(wanted) ?? assert.fail(`no listener ${wanted}`);
  const log = join(folder, `${name}.log`);
  const file = join(folder, `${name}.json`);
  writeFileSync(log, "");
  writeFileSync(file, JSON.stringify(bootstrap({ listener, admin, log })));
  const flags = ["--concurrency", "1", "--disable-hot-restart", "-l", "error", "--file-flush-interval-msec", "20"];
  const program =
    name !== "envoy"
      ? startWeft(["sidecar", "--bootstrap", file, ...(name === "threads" ? ["--concurrency", "2"] : [])])
      : startProgram(envoyPath, ["-c", file, ...flags, "--drain-time-s", "1"]);
  try {
    await ready(name, program, admin);
  } catch (error) {
    // Else it would keep the tests from ending.
    await program[Symbol.asyncDispose]();
    throw error;
  }
  return { name, program, admin, port: listener, log: () => readFileSync(log, "utf8").split("\n").slice(0, -1) };
};

export interface Trio extends Pair {
  readonly threads: Peer;
}

/** Starts Envoy and ours, with one thread and with several, and waits until they serve. */
export const startTrio = async (
  listeners: readonly string[],
  bootstrap: (ports: BootstrapPorts) => object,
): Promise<Trio> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-same-"));
  const pair = await startPair(listeners, bootstrap);
  const threads = await startOne("threads", folder, await freePorts(["admin", ...listeners]), bootstrap);
  return {
    ...pair,
    threads,
    async [Symbol.asyncDispose]() {
      await Promise.all([pair[Symbol.asyncDispose](), threads.program[Symbol.asyncDispose]()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

/** Starts both and waits until they serve. Each has ports of its own for the listeners named. */
export const startPair = async (
  listeners: readonly string[],
  bootstrap: (ports: BootstrapPorts) => object,
): Promise<Pair> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-same-"));
  const names = ["admin", ...listeners];
  const envoyPorts = await freePorts(names);
  const weftPorts = await freePorts(names, envoyPorts.values());
  const started = await Promise.allSettled([
    startOne("envoy", folder, envoyPorts, bootstrap),
    startOne("weft", folder, weftPorts, bootstrap),
  ]);
  const [envoy, weft] = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  if (!envoy || !weft) {
    await (envoy ?? weft)?.program[Symbol.asyncDispose]();
    throw new AggregateError(started.flatMap((one) => (one.status === "rejected" ? [one.reason] : [])));
  }
  return {
    envoy,
    weft,
    async [Symbol.asyncDispose]() {
      await Promise.all([envoy.program[Symbol.asyncDispose](), weft.program[Symbol.asyncDispose]()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

/** What is done to one proxy, and what is seen of it. */
export type Deed = (proxy: Peer) => Promise<unknown>;

/** Declares a test: both do the same. */
export const alike = (name: string, pair: () => Pair, deed: Deed): void => {
  test(`alike: ${name}`, async () => {
    const { envoy, weft } = pair();
    // One after the other: an upstream that fails every other time must treat both alike.
    const theirs = await deed(envoy);
    assert.deepEqual(await deed(weft), theirs);
  });
};

export interface Difference {
  readonly envoy: unknown;
  readonly weft: unknown;
  readonly because: string;
}

/** Declares a test: they differ in that way, for that reason. It fails when either changes. */
export const apart = (name: string, pair: () => Pair, deed: Deed, { envoy, weft, because }: Difference): void => {
  test(`apart: ${name} (${because})`, async () => {
    const both = pair();
    const theirs = await deed(both.envoy);
    assert.deepEqual({ envoy: theirs, weft: await deed(both.weft) }, { envoy, weft });
  });
};

/** The leaves of what was seen, cut at bars and spaces: `answer.head.0 ...`. */
const leavesOf = (seen: unknown): readonly string[] => {
  if (typeof seen === "string") return seen.split(/[ |]/);
  if (typeof seen !== "object" || seen === null) return [String(seen)];
  return Object.values(seen).flatMap(leavesOf);
};
const beyond = (some: readonly string[], others: readonly string[]): string => {
  const left = [...others];
  const more = some.filter((leaf) => {
    const at = left.indexOf(leaf);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return more.join(" ");
};

/** What each has that the other has not. */
export const differenceOf = (theirs: unknown, ours: unknown): { readonly envoy: string; readonly weft: string } => {
  const [envoy, weft] = [leavesOf(theirs), leavesOf(ours)];
  return { envoy: beyond(envoy, weft), weft: beyond(weft, envoy) };
};

/** Like `apart`, for deeds of which much is seen: `envoy` and `weft` are the words that only the one has. */
export const apartIn = (name: string, pair: () => Pair, deed: Deed, { because, ...words }: Difference): void => {
  test(`apart: ${name} (${because})`, async () => {
    const both = pair();
    const theirs = await deed(both.envoy);
    assert.deepEqual(differenceOf(theirs, await deed(both.weft)), words);
  });
};
