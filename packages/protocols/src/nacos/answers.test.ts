import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readHosts, readLogin, readNames, readObject, splitName } from "./answers.ts";

const names = (answer: Record<string, unknown>): unknown => {
  const { count, names: found } = readNames(answer);
  return [count, ...found.map(({ group, service }) => `${group}/${service}`)];
};

test("names are read from each interface's own form", () => {
  assert.deepEqual(names({ count: 2, serviceNames: ["G@@a", "b"] }), [2, "G/a", "/b"]);
  assert.deepEqual(names({ count: 1, doms: ["a"] }), [1, "/a"]);
  assert.deepEqual(names({ code: 0, data: { count: 1, services: ["a"] } }), [1, "/a"]);
  assert.deepEqual(names({ code: 0, data: { totalCount: 1, pageItems: [{ name: "a", groupName: "G" }] } }), [1, "G/a"]);
  assert.deepEqual(names({ count: 0, serviceNames: null }), [0]);
});

test("names that are none are left out, and a list that is none is refused", () => {
  assert.deepEqual(names({ count: 5, doms: ["a", "", 7, null, "x".repeat(600)] }), [5, "/a"]);
  for (const wrong of [
    {},
    { count: -1, doms: [] },
    { count: "1", doms: [] },
    { count: 1, doms: "a" },
    { code: 0, data: 1 },
  ])
    assert.throws(() => readNames(wrong), Error);
  assert.throws(
    () => readNames({ code: 10000, message: "parameter missing", data: null }),
    /refuses: parameter missing/,
  );
});

test("a name is cut at the first of its marks only", () => {
  assert.deepEqual(splitName("G@@a@@b"), { group: "G", service: "a@@b" });
});

test("instances are read from each interface's own form; what is missing has Nacos' defaults", () => {
  const hosts = [{ ip: "10.0.0.1", port: 80, metadata: { a: "b", c: 1 } }];
  const host = {
    ...{ ip: "10.0.0.1", port: 80, weight: 1, healthy: true, enabled: true, ephemeral: true },
    ...{ clusterName: "DEFAULT", metadata: new Map([["a", "b"]]) },
  };
  const forms = [{ serviceInfo: { hosts } }, { hosts }, { code: 0, data: { hosts } }, { code: 0, data: hosts }];
  for (const form of forms) assert.deepEqual(readHosts(form), [{ kind: "host", host }]);
});

test("an answer that says nothing of instances is told from one that says there are none", () => {
  assert.deepEqual(readHosts({ serviceInfo: { hosts: [] } }), []);
  for (const nothing of [{}, { serviceInfo: {} }, { hosts: null }, { code: 0, data: null }])
    assert.equal(readHosts(nothing), undefined);
});

test("an instance that is wrong is told by what there is to name it, and the others are read", () => {
  const good = { ip: "10.0.0.1", port: 80 };
  const wrong: readonly [unknown, string, RegExp][] = [
    [7, "#1", /no object/],
    [{ port: 80 }, "?:80", /ip is missing/],
    [{ ...good, port: "80" }, "10.0.0.1:?", /port is missing/],
    [{ ...good, weight: null }, "10.0.0.1:80", /weight is not/],
    [{ ...good, weight: -1 }, "10.0.0.1:80", /weight is not/],
    [{ ...good, healthy: "yes" }, "10.0.0.1:80", /healthy is neither/],
  ];
  for (const [one, name, problem] of wrong) {
    const [, read, last] = readHosts({ hosts: [good, one, good] }) ?? [];
    assert.equal(last?.kind, "host");
    assert.ok(read?.kind === "unreadable" && read.name === name && problem.test(read.problem));
  }
});

test("whatever JSON comes is read or refused", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      for (const read of [readNames, readHosts, readLogin]) {
        try {
          read(readObject(Buffer.from(text)));
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }
    }),
  );
  assert.throws(() => readObject(Buffer.from([0xff])), /not JSON/);
  assert.throws(() => readObject(Buffer.from("[]")), /no JSON object/);
});

test("a login without a token is none; one without a time has Nacos' own", () => {
  assert.deepEqual(readLogin({ accessToken: "t", tokenTtl: 5 }), { token: "t", ttlSeconds: 5 });
  assert.deepEqual(readLogin({ code: 0, data: { accessToken: "t" } }), { token: "t", ttlSeconds: 18_000 });
  for (const none of [{}, { accessToken: "" }, { accessToken: 7 }]) assert.throws(() => readLogin(none), /no token/);
});
