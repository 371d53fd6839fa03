import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readKubernetesObject } from "../admission/read-object.ts";
import { changesVerdict, type StatusFacts, signatureIn, statusPatch, statusSignature } from "./written-status.ts";
import {
  againEveryMs,
  countEveryMs,
  createStatusTable,
  type StatusContext,
  type StatusWrite,
} from "./written-status-table.ts";

const facts = (more: Partial<StatusFacts> = {}): StatusFacts => ({
  ...{ generation: 1, remarks: [], accepted: true, proxies: { current: 3, total: 3 } },
  ...more,
});
const now = "2026-01-01T00:00:00Z";
interface Written {
  readonly conditions: readonly {
    readonly type: string;
    readonly message: string;
    readonly lastTransitionTime: string;
  }[];
}

describe("the content of a status", () => {
  test("is not to be written where it is there already, whatever the facts", () => {
    const proxies = fc.option(fc.record({ current: fc.nat(9), total: fc.nat(9) }), { nil: undefined });
    const remark = fc.record({
      ...{ code: fc.constantFrom("WF1006", "WF1101"), level: fc.constantFrom("error", "warning", "info") },
      ...{ field: fc.string(), message: fc.string() },
    });
    const any = fc.record({ generation: fc.nat(), remarks: fc.array(remark), accepted: fc.boolean(), proxies });
    fc.assert(
      fc.property(any, fc.jsonValue(), (given, before) => {
        const patch = statusPatch(before, given as StatusFacts, now);
        // As an API server would give it back.
        const stored: unknown = patch && JSON.parse(JSON.stringify(patch));
        assert.equal(statusPatch(stored ?? before, given as StatusFacts, "later"), undefined);
      }),
    );
  });
  test("keeps others' conditions, and the time of what does not turn", () => {
    const first = statusPatch({ conditions: [{ type: "Theirs" }] }, facts(), now) as Written;
    assert.deepEqual(
      first.conditions.map(({ type }) => type),
      ["Theirs", "Accepted", "Reconciled"],
    );
    const second = statusPatch(first, facts({ proxies: { current: 2, total: 3 } }), "later") as Written;
    assert.deepEqual(
      second.conditions.slice(1).map((one) => one.lastTransitionTime),
      [now, "later"],
    );
    assert.equal(second.conditions[2]?.message, "2/3 proxies");
  });
  test("takes a server's own form of numbers for the same", () => {
    const stored = JSON.parse(JSON.stringify(statusPatch(undefined, facts(), now))) as { observedGeneration: unknown };
    assert.equal(signatureIn({ ...stored, observedGeneration: "1" }), statusSignature(facts()));
  });
  test("turns on what is wrong, not on how many proxies there are", () => {
    const stored = statusPatch(undefined, facts(), now);
    assert.equal(changesVerdict(stored, facts({ proxies: { current: 0, total: 9 } })), false);
    assert.equal(changesVerdict(stored, facts({ generation: 2 })), true);
    assert.equal(changesVerdict(stored, facts({ proxies: { current: 3, total: 3, silent: 2, left: 1 } })), false);
    const remarks = [{ code: "WF1101", level: "warning", field: "", message: "m" }] as const;
    assert.equal(changesVerdict(stored, facts({ remarks })), true);
  });
  test("is not sure where other control planes say nothing, or do not tell all of their proxies apart", () => {
    const reconciled = (proxies: StatusFacts["proxies"]) => {
      const { conditions } = statusPatch(undefined, facts({ proxies }), now) as {
        readonly conditions: readonly Readonly<Record<string, unknown>>[];
      };
      const { status, reason, message } = conditions[1] ?? {};
      return [status, reason, message];
    };
    const incomplete = ["Unknown", "Incomplete"];
    const [one, two] = ["1 other control plane says nothing of it yet", "2 other control planes say nothing of it yet"];
    assert.deepEqual(reconciled({ current: 3, total: 3, silent: 1 }), [...incomplete, `3/3 proxies; ${one}`]);
    assert.deepEqual(reconciled({ current: 0, total: 0, silent: 2 }), [...incomplete, `0/0 proxies; ${two}`]);
    const left = "4 more proxies are not told apart";
    assert.deepEqual(reconciled({ current: 3, total: 3, left: 4 }), [...incomplete, `3/3 proxies; ${left}`]);
    const pending = ["False", "Pending", `2/3 proxies; ${one}; 1 more proxy is not told apart`];
    assert.deepEqual(reconciled({ current: 2, total: 3, silent: 1, left: 1 }), pending);
  });
});

const object = (version: string, generation: number, more: object = {}) => ({
  ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService" },
  metadata: { name: "app", namespace: "shop", uid: "u", resourceVersion: version, generation },
  spec: { hosts: ["a"], http: [{ timeout: `${generation}s`, directResponse: { status: 204 } }] },
  ...more,
});
const path = "/apis/networking.istio.io/v1/virtualservices";
const context = (more: Partial<StatusContext> = {}): StatusContext => ({
  ...{ inForce: () => undefined, findings: () => [], proxies: () => ({ current: 1, total: 1 }) },
  ...more,
});
const at = (nowMs: number) => ({ nowMs, wallMs: 1_700_000_000_000 + nowMs });
const only = (writes: readonly StatusWrite[]): StatusWrite => {
  assert.equal(writes.length, 1);
  return writes[0] as StatusWrite;
};
/** As the server has the object after that write. */
const stored = (write: StatusWrite, version: string, generation = 1) => ({
  ...object(version, generation),
  status: (write.patch as { status: object }).status,
});

describe("the table of what is to be written", () => {
  test("gives a new object once, at its status, for the version it knows", () => {
    const table = createStatusTable();
    table.put("VirtualService", path, object("7", 1));
    const write = only(table.due(context(), at(0), 10).writes);
    assert.equal(write.path, "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/app/status");
    assert.deepEqual((write.patch as { metadata: object }).metadata, { resourceVersion: "7" });
    table.written(write, stored(write, "8"), 0);
    assert.deepEqual(table.due(context(), at(1), 10).writes, []);
    table.put("VirtualService", path, stored(write, "8"));
    assert.deepEqual(table.due(context(), at(2), 10).writes, []);
  });
  test("does not write again what a server keeps otherwise, for ten minutes", () => {
    const table = createStatusTable();
    table.put("VirtualService", path, object("7", 1));
    const write = only(table.due(context(), at(0), 10).writes);
    table.written(write, object("8", 1), 0);
    table.put("VirtualService", path, object("9", 1));
    assert.deepEqual(table.due(context(), at(againEveryMs - 1), 10).writes, []);
    assert.equal(table.due(context(), at(againEveryMs), 10).writes.length, 1);
  });
  test("writes counts of proxies seldom, and a verdict at once", () => {
    const table = createStatusTable();
    const inForce = readKubernetesObject(object("7", 1)).object;
    const proxies = (current: number): StatusContext =>
      context({ inForce: () => inForce, proxies: () => ({ current, total: 9 }) });
    table.put("VirtualService", path, object("7", 1));
    const first = only(table.due(proxies(1), at(0), 10).writes);
    table.written(first, stored(first, "8"), 0);
    assert.deepEqual(table.due(proxies(2), at(countEveryMs - 1), 10), { writes: [], waiting: true });
    const second = only(table.due(proxies(2), at(countEveryMs), 10).writes);
    table.written(second, stored(second, "9"), countEveryMs);
    table.put("VirtualService", path, { ...stored(second, "10"), spec: { hosts: [5] } });
    assert.equal(table.due(proxies(2), at(countEveryMs + 1), 10).writes.length, 1);
  });
  test("does not take an answer that a watch was faster than", () => {
    const table = createStatusTable();
    table.put("VirtualService", path, object("7", 1));
    const write = only(table.due(context(), at(0), 10).writes);
    table.put("VirtualService", path, { ...stored(write, "9", 2) });
    table.written(write, stored(write, "8"), 0);
    const next = only(table.due(context(), at(1), 10).writes);
    assert.deepEqual((next.patch as { metadata: object }).metadata, { resourceVersion: "9" });
  });
  test("puts off what was refused, an object or a kind, and forgets what went", () => {
    const table = createStatusTable();
    table.put("VirtualService", path, object("7", 1));
    const write = only(table.due(context(), at(0), 10).writes);
    table.postpone(write, 0, 1_000);
    assert.deepEqual(table.due(context(), at(999), 10), { writes: [], waiting: true });
    table.postponeKind("VirtualService", 0, 5_000);
    assert.deepEqual(table.due(context(), at(4_999), 10).writes, []);
    assert.equal(table.due(context(), at(5_000), 10).writes.length, 1);
    table.listed("VirtualService", path, []);
    assert.equal(table.size(), 0);
    table.written(write, object("8", 1), 0);
    assert.deepEqual(table.due(context(), at(6_000), 10).writes, []);
  });
  test("gives no more than it is asked for, and says that there is more", () => {
    const table = createStatusTable();
    for (let index = 0; index < 50; index++) {
      const one = object("7", 1);
      table.put("VirtualService", path, {
        ...one,
        metadata: { ...one.metadata, name: `app-${index}`, uid: `${index}` },
      });
    }
    const { writes, waiting } = table.due(context(), at(0), 20);
    assert.deepEqual([writes.length, waiting], [20, true]);
  });
});
