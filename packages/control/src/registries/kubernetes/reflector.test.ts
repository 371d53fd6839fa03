import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createObjectTable, holdMs } from "./object-table.ts";
import {
  absentEveryMs,
  createReflector,
  forbiddenEveryMs,
  type ReflectorInput,
  type ReflectorOutput,
  silenceMs,
} from "./reflector.ts";
import { createModelServer } from "./testing/model-server.ts";

const object = (name: string, resourceVersion: string) => ({ metadata: { name, resourceVersion } });
const line = (type: string, what: unknown): ReflectorInput => ({
  kind: "line",
  text: JSON.stringify({ type, object: what }),
});
const page = (names: readonly string[], version: string, next = ""): ReflectorInput => ({
  kind: "answer",
  body: { metadata: { resourceVersion: version, continue: next }, items: names.map((name) => object(name, "1")) },
});
const failed = (status: number, retryAfterMs?: number): ReflectorInput => ({
  kind: "failed",
  failure: { status, reason: "", message: `HTTP ${status}`, retryAfterMs },
});
const reflect = (streams = { works: false }) => {
  const reflector = createReflector({ selector: "", streams, random: () => 0.5 });
  let nowMs = 0;
  const step = (input: ReflectorInput, afterMs = 10): readonly ReflectorOutput[] => {
    nowMs += afterMs;
    return reflector.step(input, nowMs);
  };
  return { step, streams };
};
const kinds = (outputs: readonly ReflectorOutput[]): string => outputs.map(({ kind }) => kind).join(" ");
const queryOf = (outputs: readonly ReflectorOutput[]): URLSearchParams => {
  const request = outputs.find((one) => one.kind === "get" || one.kind === "watch");
  return new URLSearchParams(request && "query" in request ? request.query : "nothing=asked");
};
/** Read and watching. */
const watching = (version = "7") => {
  const made = reflect();
  made.step({ kind: "start" });
  made.step(page(["a"], version));
  return made;
};

test("pages are put together, and the watch begins where they were read", () => {
  const { step } = reflect();
  assert.equal(queryOf(step({ kind: "start" })).get("limit"), "500");
  assert.equal(queryOf(step(page(["a", "b"], "7", "token/+"))).get("continue"), "token/+");
  const read = step(page(["c"], "7"));
  assert.equal(kinds(read), "listed state watch");
  assert.deepEqual(read[0]?.kind === "listed" && read[0].objects.map(({ metadata }) => metadata.name), ["a", "b", "c"]);
  assert.equal(queryOf(read).get("resourceVersion"), "7");
  assert.equal(queryOf(read).get("allowWatchBookmarks"), "true");
});

test("pages that expire in the middle are begun anew, and in the end everything is asked for at once", () => {
  const { step } = reflect();
  step({ kind: "start" });
  step(page(["a"], "7", "more"));
  const again = step(failed(410));
  assert.equal(queryOf(again).get("limit"), "500");
  assert.equal(queryOf(again).has("continue"), false);
  const restart = (): readonly ReflectorOutput[] => {
    step(page(["a"], "8", "more"));
    assert.equal(kinds(step(failed(410))), "wait");
    return step({ kind: "due" });
  };
  restart();
  assert.equal(queryOf(restart()).has("limit"), false);
  const read = step(page(["b"], "9"));
  assert.deepEqual(read[0], { kind: "listed", objects: [object("b", "1")], older: false, leftOut: 0 });
});

test("a list longer than the bound says how many it left out, and never leaves out what is known", () => {
  for (const works of [false, true]) {
    const isKnown = ({ metadata }: { readonly metadata: { readonly name: string } }) => metadata.name === "e";
    const options = { selector: "", streams: { works }, random: () => 0.5, objectsMax: 2, isKnown };
    const reflector = createReflector(options);
    reflector.step({ kind: "start" }, 0);
    const all = ["a", "b", "c", "d", "e"];
    for (const name of works ? all : []) reflector.step(line("ADDED", object(name, "1")), 1);
    const annotations = { "k8s.io/initial-events-end": "true" };
    const end = works ? line("BOOKMARK", { metadata: { resourceVersion: "7", annotations } }) : page(all, "7");
    const listed = reflector.step(end, 2).find((one) => one.kind === "listed");
    const names = listed?.kind === "listed" && listed.objects.map(({ metadata }) => metadata.name);
    assert.deepEqual([names, listed?.kind === "listed" && listed.leftOut], [["a", "b", "e"], 2]);
  }
});

test("a stream of what is there is taken as a list, and goes on as the watch", () => {
  const { step } = reflect({ works: true });
  assert.equal(queryOf(step({ kind: "start" })).get("sendInitialEvents"), "true");
  assert.equal(kinds(step(line("ADDED", object("a", "3")))), "");
  assert.equal(kinds(step(line("ADDED", object("b", "4")))), "");
  step(line("DELETED", object("b", "5")));
  const end = { metadata: { resourceVersion: "6", annotations: { "k8s.io/initial-events-end": "true" } } };
  const read = step(line("BOOKMARK", end));
  assert.equal(kinds(read), "listed state silence");
  assert.deepEqual(read[0]?.kind === "listed" && read[0].objects, [object("a", "3")]);
  assert.equal(kinds(step(line("MODIFIED", object("a", "7")))), "put");
});

test("a server without streams, or one whose stream stalls, is asked for pages from then on", () => {
  const refused = line("ERROR", { kind: "Status", code: 500, message: "a storage feature is disabled" });
  for (const trouble of [failed(422), failed(400), refused, { kind: "due" } as const]) {
    const { step, streams } = reflect({ works: true });
    step({ kind: "start" });
    assert.equal(queryOf(step(trouble)).get("limit"), "500");
    assert.equal(streams.works, false);
  }
});

test("a history that is gone means a new list, at once the first time and with a wait after that", () => {
  const { step } = watching();
  const gone = line("ERROR", { kind: "Status", code: 410, reason: "Expired" });
  assert.equal(kinds(step(gone)), "get");
  step(page(["a"], "9"));
  assert.equal(kinds(step(gone)), "wait");
});

test("events move the version on, and so do bookmarks", () => {
  const { step } = watching();
  assert.equal(kinds(step(line("BOOKMARK", object("x", "20")))), "");
  assert.equal(kinds(step({ kind: "ended" }, 60_000)), "get");
  assert.equal(queryOf(step(page([], "20"))).get("resourceVersion"), "20");
});

test("a watch that says nothing is made again, after the question how far the server is", () => {
  const { step } = watching();
  const asked = step({ kind: "due" }, silenceMs);
  assert.equal(queryOf(asked).get("limit"), "1");
  assert.equal(kinds(step(page([], "7"))), "watch");
});

test("a server that is behind what was known is read anew, and the list says that it is older", () => {
  const { step } = watching("70");
  step(failed(0));
  step({ kind: "due" });
  assert.equal(queryOf(step(page([], "12"))).get("limit"), "500");
  const read = step(page(["b"], "12"));
  assert.deepEqual(read[0], { kind: "listed", objects: [object("b", "1")], older: true, leftOut: 0 });
});

test("an outage is told once, waits longer each time, and ends with the answer", () => {
  const { step } = watching();
  const first = step(failed(0));
  assert.equal(kinds(first), "state wait");
  let before = 0;
  for (let at = 0; at < 12; at++) {
    step({ kind: "due" });
    const again = step(failed(0));
    assert.equal(kinds(again), "wait");
    const [{ ms } = { ms: 0 }] = again as readonly { readonly ms: number }[];
    assert.ok(ms >= before && ms <= 10_000, `${ms} after ${before}`);
    before = ms;
  }
  step({ kind: "due" });
  assert.deepEqual(step(page([], "7"))[0], { kind: "state", state: "live", reason: "" });
});

test("what is not served, and what may not be read, is no outage and is tried again later", () => {
  const { step } = reflect();
  step({ kind: "start" });
  const absent = step(failed(404));
  assert.deepEqual(absent[0], { kind: "state", state: "absent", reason: "HTTP 404" });
  assert.deepEqual(absent[1], { kind: "wait", ms: absentEveryMs });
  assert.equal(queryOf(step({ kind: "due" })).get("limit"), "500");
  assert.equal(kinds(step(failed(403))), "state wait");
});

test("what is refused is asked for again soon, as a server that has just begun refuses everybody, and then ever later", () => {
  for (const status of [403, 404]) {
    const { step } = watching();
    const waits = Array.from({ length: 12 }, () => {
      const { ms } = step(failed(status)).at(-1) as { readonly ms: number };
      step({ kind: "due" });
      return ms;
    });
    assert.ok((waits[0] ?? Number.NaN) <= 1_000, `${waits[0]}`);
    assert.ok(waits.every((ms) => ms <= forbiddenEveryMs) && (waits.at(-1) ?? 0) > 5_000, waits.join());
    // Heard again: asked how far the server is, then by an event of the watch, which goes on where the former one was.
    assert.equal(queryOf(step(page([], "9"))).get("resourceVersion"), "7");
    step({ kind: "line", text: '{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"10"}}}' });
    assert.ok((step(failed(status)).at(-1) as { readonly ms: number }).ms <= 1_000);
  }
});

test("a busy server is left alone for as long as it asks", () => {
  const { step } = watching();
  const waits = step(failed(429, 45_000));
  assert.deepEqual(waits.at(-1), { kind: "wait", ms: 45_000 });
});

test("lines that are no events end the watch, and three of them everything that was known", () => {
  const { step } = watching();
  for (const text of ["{", "[]", '{"type":"ADDED","object":{"metadata":{}}}']) {
    assert.equal(kinds(step({ kind: "line", text })).endsWith("wait"), true);
    const asked = step({ kind: "due" });
    if (text.startsWith('{"')) assert.equal(queryOf(asked).get("limit"), "500");
    else step(page([], "7"));
  }
});

test("a list that is none is an outage of that collection and nothing else", () => {
  for (const body of [undefined, "text", [], {}, { metadata: {} }, { metadata: { resourceVersion: 5 }, items: [] }]) {
    const { step } = reflect();
    step({ kind: "start" });
    assert.equal(kinds(step({ kind: "answer", body })), "state wait");
  }
});

type Act =
  | "put"
  | "delete"
  | "compact"
  | "remember"
  | "back"
  | "deliver"
  | "bookmark"
  | "drop"
  | "end"
  | "due"
  | "garble";
const acts: readonly Act[] = [
  "put",
  "delete",
  "compact",
  "remember",
  "back",
  "bookmark",
  "drop",
  "end",
  "due",
  "garble",
];

test("whatever a server does, in the end what is in force is what it has", () => {
  const act = fc.record({
    act: fc.oneof(
      { weight: 6, arbitrary: fc.constant<Act>("deliver") },
      { weight: 6, arbitrary: fc.constantFrom(...acts) },
    ),
    name: fc.constantFrom("a", "b", "c", "d"),
  });
  fc.assert(
    fc.property(fc.boolean(), fc.array(act, { maxLength: 120 }), (streams, given) => {
      const server = createModelServer({ streams });
      const table = createObjectTable("all");
      const reflector = createReflector({ selector: "", streams: { works: true }, random: () => 0.5 });
      let nowMs = 0;
      const feed = (input: ReflectorInput | undefined): void => {
        nowMs += 5_000;
        if (!input) return;
        for (const output of reflector.step(input, nowMs)) {
          if (output.kind === "get" || output.kind === "watch") server.open(output);
          else if (output.kind === "wait") server.open(undefined);
          else if (output.kind === "listed") table.listed(output.objects, output.older, nowMs);
          else if (output.kind === "put") table.put(output.object);
          else if (output.kind === "removed") table.removed(`n/${output.object.metadata.name}`);
        }
      };
      const settle = (): void => {
        for (let quiet = 0, turn = 0; quiet < 3 && turn < 500; turn++) {
          const next = server.next();
          quiet = next ? 0 : quiet + 1;
          feed(next ?? { kind: "due" });
        }
      };
      feed({ kind: "start" });
      for (const { act: what, name } of given) {
        if (what === "put") server.put(name);
        else if (what === "delete") server.delete(name);
        else if (what === "compact") server.compact();
        else if (what === "remember") server.remember();
        else if (what === "back") {
          // Who restores a state has the server stopped, which everybody sees before it has caught up.
          server.goBack();
          feed(failed(0));
          settle();
        } else if (what === "deliver") feed(server.next());
        else if (what === "bookmark") feed(server.bookmark());
        else if (what === "drop") feed(failed(0));
        else if (what === "end") feed({ kind: "ended" });
        else if (what === "garble") feed({ kind: "line", text: "{}" });
        else feed({ kind: "due" });
      }
      settle();
      table.heard(true, nowMs);
      table.tick(nowMs + holdMs);
      const known = [...table.entries()].map(([key, one]) => [key.slice(2), one.object.metadata.resourceVersion]);
      assert.deepEqual(new Map(known.sort() as [string, string][]), new Map([...server.objects()].sort()));
    }),
    { numRuns: 300 },
  );
});
