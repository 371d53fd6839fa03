/** A process that holds streams and times changes; told what to do over its parent's channel, one command at a time. */
import { Agent, request } from "node:http";
import type { Answer, Changed, ChangeRequest, Command } from "./messages.ts";
import { openStreams, type Streams } from "./streams.ts";

const lostAfterMs = 10_000;
const agent = new Agent({ keepAlive: true, maxSockets: 4 });
let streams: Streams | undefined;
let names: readonly string[] = [];

interface Pending {
  readonly sentMs: number;
  missing: number;
}

/** Changes under way, by name and sequence number. */
const pending = new Map<string, Map<number, Pending>>();
let lastMs: number[] = [];
let delivered = 0;
let open = 0;
let settled: (() => void) | undefined;

const onAssignment = (name: string, sequence: number): void => {
  const changes = pending.get(name);
  const change = changes?.get(sequence);
  if (!change) return;
  delivered++;
  if (--change.missing > 0) return;
  changes?.delete(sequence);
  open--;
  lastMs.push(performance.now() - change.sentMs);
  if (open === 0) settled?.();
};

const send = ({ address, method, headers, path, body }: ChangeRequest, service: number, weight: number) =>
  new Promise<void>((resolve, reject) => {
    const values = { service, weight, high: service >> 8, low: service & 255 };
    const fill = (text: string): string =>
      Object.entries(values).reduce((filled, [name, value]) => filled.replaceAll(`{${name}}`, String(value)), text);
    const [host = "", port = ""] = address.split(":");
    const sent = request({ host, port: Number(port), method, path: fill(path), headers, agent }, (response) => {
      response.resume();
      response.once("end", () => {
        if ((response.statusCode ?? 0) < 300) resolve();
        else reject(new Error(`a change was refused: ${response.statusCode}`));
      });
    });
    sent.once("error", reject);
    sent.end(fill(body));
  });

const change = (request: ChangeRequest, service: number, weight: number): Promise<void> => {
  const name = names[service] ?? "";
  const missing = streams?.subscribersOf(name) ?? 0;
  if (missing > 0) {
    const changes = pending.get(name) ?? new Map<number, Pending>();
    pending.set(name, changes);
    changes.set(weight, { sentMs: performance.now(), missing });
    open++;
  }
  return send(request, service, weight);
};

/** Waits until every change is with its last subscriber. What is not by then is lost. */
const settle = async (changes: number, lateMs: number): Promise<Changed> => {
  if (open > 0) {
    await new Promise<void>((resolve) => {
      settled = resolve;
      setTimeout(resolve, lostAfterMs);
    });
  }
  const result = { changes, delivered, lost: open, lastMs: lastMs.sort((a, b) => a - b), lateMs };
  pending.clear();
  lastMs = [];
  delivered = 0;
  open = 0;
  settled = undefined;
  return result;
};

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One service after the other, as often as said whatever the system under test does. */
const changeMany = async ({ request, perSecond, seconds, weight }: Command & { readonly kind: "changes" }) => {
  const startedMs = performance.now();
  const sent: Promise<void>[] = [];
  let lateMs = 0;
  for (let n = 0; n < perSecond * seconds; n++) {
    const dueMs = startedMs + (n * 1000) / perSecond;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0.5) await delay(waitMs);
    lateMs = Math.max(lateMs, performance.now() - dueMs);
    sent.push(change(request, n % names.length, weight + Math.floor(n / names.length)));
  }
  await Promise.all(sent);
  return { changed: await settle(perSecond * seconds, lateMs) };
};

const perform = async (command: Command): Promise<Answer> => {
  switch (command.kind) {
    case "open":
      names = command.names;
      streams = await openStreams(command, onAssignment);
      return { opened: streams.opened };
    case "change":
      await change(command.request, command.service, command.weight);
      return { changed: await settle(1, 0) };
    case "changes":
      return changeMany(command);
    case "close":
      streams?.close();
      streams = undefined;
      return {};
    default:
      return command satisfies never;
  }
};

process.on("message", (command: Command) => {
  perform(command).then(
    (answer) => process.send?.(answer),
    (error: Error) => process.send?.({ failed: error.message }),
  );
});
process.on("disconnect", () => process.exit(0));
