import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createGroupedWrites } from "./grouped-writes.ts";
import type { SharedWrite, WriteOutcome } from "./shared-store.ts";

const put = (key: string, value = "x"): SharedWrite => ({ seen: [{ key, revision: 0 }], puts: [{ key, value }] });
const keysIn = (change: SharedWrite): string => change.puts?.map(({ key }) => key).join("+") ?? "";

/** A store that answers when it is told to. */
const setUp = () => {
  const sent: { readonly keys: string[]; answer(outcome?: WriteOutcome | Error): Promise<void> }[] = [];
  const write = createGroupedWrites({
    isOfOne: (error) => (error as Error).message === "of one",
    send: (changes) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly WriteOutcome[]>();
      sent.push({
        keys: changes.map(keysIn),
        answer: async (outcome = { kind: "written", revision: sent.length }) => {
          if (outcome instanceof Error) reject(outcome);
          else resolve(changes.map(() => outcome));
          await new Promise((go) => setImmediate(go));
        },
      });
      return promise;
    },
  });
  return { sent, write };
};

test("a change that comes alone goes at once; those that come while two are on their way go together", async () => {
  const { sent, write } = setUp();
  const answers = ["a", "b", "c", "d", "e"].map((key) => write(put(key)));
  assert.deepEqual(
    sent.map(({ keys }) => keys),
    [["a"], ["b"]],
  );
  await sent[0]?.answer();
  assert.deepEqual(sent[2]?.keys, ["c", "d", "e"]);
  for (const one of sent.slice(1)) await one.answer();
  assert.deepEqual(new Set((await Promise.all(answers)).map(({ kind }) => kind)), new Set(["written"]));
});

test("no record is in two changes of one group, and changes of one record keep their order", async () => {
  const { sent, write } = setUp();
  const all = [put("a"), put("b"), put("x", "1"), put("y"), put("x", "2"), put("z"), put("x", "3")].map(write);
  for (let at = 0; at < 5; at++) await sent[at]?.answer();
  assert.deepEqual(
    sent.map(({ keys }) => keys),
    [["a"], ["b"], ["x", "y", "z"], ["x"], ["x"]],
  );
  await Promise.all(all);
});

test("a change that spoils a group is refused alone, and the others are done", async () => {
  const { sent, write } = setUp();
  const first = [put("a"), put("b")].map(write);
  const [good, bad] = [put("good"), put("bad")].map(write) as [Promise<WriteOutcome>, Promise<WriteOutcome>];
  const refused = assert.rejects(bad, /of one/);
  await sent[0]?.answer();
  await sent[2]?.answer(new Error("of one"));
  assert.deepEqual(
    sent.slice(3).map(({ keys }) => keys),
    [["good"], ["bad"]],
  );
  await sent[3]?.answer();
  await sent[4]?.answer(new Error("of one"));
  await sent[1]?.answer();
  assert.equal((await good).kind, "written");
  await refused;
  await Promise.all(first);
});

test("while the store is away nobody waits for one after the other", async () => {
  const { sent, write } = setUp();
  const all = Array.from({ length: 200 }, (_, at) => assert.rejects(write(put(`k${at}`)), /away/));
  await sent[0]?.answer(new Error("away"));
  await sent[1]?.answer(new Error("away"));
  await Promise.all(all);
  assert.equal(sent.length, 2);
});

test("what is large or touches many records does not wait for others", async () => {
  const { sent, write } = setUp();
  const before = [put("a"), put("b"), put("c")].map(write);
  const many = write({ seen: [], puts: Array.from({ length: 9 }, (_, at) => ({ key: `m${at}`, value: "" })) });
  const large = write(put("large", "x".repeat(40_000)));
  assert.equal(sent.length, 4);
  for (let at = 0; at < 5; at++) await sent[at]?.answer();
  await Promise.all([...before, many, large]);
});

test("whatever comes together, each change is answered for itself and once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(..."abcdefgh"), { maxLength: 60 }), async (keys) => {
      let revision = 0;
      const write = createGroupedWrites({
        isOfOne: () => true,
        send: async (changes) => {
          assert.equal(new Set(changes.map(keysIn)).size, changes.length);
          await Promise.resolve();
          revision++;
          return changes.map(({ puts }) =>
            puts?.[0]?.key === "h" ? { kind: "conflict" } : { kind: "written", revision },
          );
        },
      });
      const outcomes = await Promise.all(keys.map((key) => write(put(key))));
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        keys.map((key) => (key === "h" ? "conflict" : "written")),
      );
    }),
  );
});
