import assert from "node:assert/strict";
import { test } from "node:test";
import { setRealTimer } from "@weft/net/clock";
import { createTcpAsk, createUdpAsk } from "@weft/net/dns/exchange";
import { encodeDns } from "@weft/protocols/dns/encode";
import { createReply, recordType } from "@weft/protocols/dns/message";
import { parseHosts, parseResolvConf, searchedNames } from "./resolv-conf.ts";
import { machineResolver, type NameQuestion } from "./resolve-name.ts";
import { createResolver } from "./resolver.ts";
import { addressRecord, answering, type FakeAnswer, startFakeDns } from "./testing/fake-dns.ts";

interface Files {
  readonly resolvConf?: string;
  readonly hosts?: string;
}

const open = async (answer: FakeAnswer, files: Files = {}) => {
  const server = await startFakeDns(answer);
  let id = 0;
  const resolve = createResolver({
    udp: createUdpAsk(setRealTimer),
    tcp: createTcpAsk(setRealTimer),
    id: () => ++id & 0xffff,
    random: () => 0,
    readText: (path) => (path === "/etc/hosts" ? files.hosts : files.resolvConf) ?? "",
  });
  const resolver = { ...machineResolver, servers: [{ host: "127.0.0.1", port: server.port }], timeoutMs: 2000 };
  const ask = (name: string, more: Partial<NameQuestion> = {}) => resolve({ name, family: "v4", resolver, ...more });
  return { server, resolver, ask, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
};
const found = (...addresses: readonly string[]) => addresses.map((address) => ({ address, ttl: 5 }));

test("addresses come with their times to live", async () => {
  await using all = await open(answering({ "a.test": ["10.0.0.1", "10.0.0.2"] }));
  assert.deepEqual(await all.ask("a.test"), found("10.0.0.1", "10.0.0.2"));
  assert.deepEqual(
    all.server.asked.map(({ name, type, tcp }) => [name, type, tcp]),
    [["a.test", recordType.a, false]],
  );
});

test("an alias is followed, and the shortest time to live on the way counts", async () => {
  const alias = (name: string, to: string, ttl: number) => ({
    ...{ name, type: recordType.cname, class: 1, ttl, data: { kind: "name", name: to } as const },
  });
  await using all = await open(() => ({
    answers: [alias("a.test", "B.test", 3), alias("b.test", "c.test", 9), addressRecord("c.test", "10.0.0.3", 60)],
  }));
  assert.deepEqual(await all.ask("a.test"), [{ address: "10.0.0.3", ttl: 3 }]);
});

test("aliases that go round, or lead nowhere, are a failure", async () => {
  const alias = (name: string, to: string) => ({
    ...{ name, type: recordType.cname, class: 1, ttl: 1, data: { kind: "name", name: to } as const },
  });
  await using all = await open(({ name }) => ({ answers: [alias(name, "b.test"), alias("b.test", name)] }));
  await assert.rejects(all.ask("a.test", { resolver: { ...all.resolver, attempts: 1 } }), /lead nowhere/);
});

test("a name without addresses has none, and a name that is not known is a failure", async () => {
  await using all = await open(answering({ "six.test": ["2001:db8::1"] }));
  assert.deepEqual(await all.ask("six.test"), []);
  await assert.rejects(all.ask("none.test"), /there is no name/);
});

test("families are asked for in Envoy's order", async () => {
  await using all = await open(answering({ "both.test": ["10.0.0.1", "2001:db8::1"], "four.test": ["10.0.0.4"] }));
  const types = () => all.server.asked.splice(0).map(({ type }) => type);
  assert.deepEqual(await all.ask("both.test", { family: "auto" }), found("2001:db8::1"));
  assert.deepEqual(types(), [recordType.aaaa]);
  assert.deepEqual(await all.ask("four.test", { family: "auto" }), found("10.0.0.4"));
  assert.deepEqual(types(), [recordType.aaaa, recordType.a]);
  assert.deepEqual(await all.ask("both.test", { family: "v4Preferred" }), found("10.0.0.1"));
  assert.deepEqual(types(), [recordType.a]);
  assert.deepEqual(await all.ask("both.test", { family: "all" }), found("10.0.0.1", "2001:db8::1"));
  assert.deepEqual(await all.ask("both.test", { family: "v6" }), found("2001:db8::1"));
});

test("an answer that is cut over UDP is asked for over TCP", async () => {
  const many = Array.from({ length: 200 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  await using all = await open(answering({ "many.test": many }));
  assert.equal((await all.ask("many.test")).length, 200);
  assert.deepEqual(
    all.server.asked.map(({ tcp }) => tcp),
    [false, true],
  );
});

test("an answer cut over TCP too, and one cut in the middle of a record over both, are failures", async () => {
  const cut: FakeAnswer = ({ query, name }) =>
    encodeDns(createReply(query, { truncated: true, answers: [addressRecord(name, "10.0.0.1")] })).subarray(0, -3);
  for (const answer of [cut, () => ({ truncated: true })] satisfies FakeAnswer[]) {
    await using all = await open(answer);
    await assert.rejects(all.ask("a.test", { resolver: { ...all.resolver, attempts: 1 } }));
    assert.equal(all.server.asked.at(-1)?.tcp, true);
  }
});

test("answers to other questions are passed over", async () => {
  await using all = await open(({ query, name, type }) => {
    const good = createReply(query, { answers: [addressRecord(name, "10.0.0.1")] });
    const wrong = { ...good, id: query.id ^ 1, answers: [addressRecord(name, "6.6.6.6")] };
    return all.server.asked.length === 1 ? encodeDns(wrong) : type === recordType.a ? encodeDns(good) : undefined;
  });
  const resolver = { ...all.resolver, timeoutMs: 50, attempts: 2 };
  assert.deepEqual(await all.ask("a.test", { resolver }), found("10.0.0.1"));
  assert.equal(all.server.asked.length, 2);
});

test("a server that fails is followed by the next, and a server that does not know EDNS is asked without", async () => {
  await using good = await open(({ query, name }) =>
    query.edns ? { code: 1, edns: undefined } : { answers: [addressRecord(name, "10.0.0.9")] },
  );
  await using bad = await open(() => ({ code: 2 }));
  const servers = [...bad.resolver.servers, ...good.resolver.servers];
  assert.deepEqual(await good.ask("a.test", { resolver: { ...good.resolver, servers } }), found("10.0.0.9"));
  assert.deepEqual([bad.server.asked.length, good.server.asked.length], [1, 2]);
});

test("who asks for the same at the same time is answered by one question", async () => {
  await using all = await open(answering({ "a.test": ["10.0.0.1"] }));
  await Promise.all([all.ask("a.test"), all.ask("A.test."), all.ask("a.test")]);
  assert.equal(all.server.asked.length, 1);
  await all.ask("a.test");
  assert.equal(all.server.asked.length, 2);
});

test("the search list is tried by the number of dots, and the hosts file before any server", async () => {
  const files = { resolvConf: "search one.test two.test\noptions ndots:2\n", hosts: "10.9.9.9 Here.test alias # no\n" };
  await using all = await open(answering({ "a.two.test": ["10.0.0.2"] }), files);
  assert.deepEqual(await all.ask("a"), found("10.0.0.2"));
  assert.deepEqual(
    all.server.asked.map(({ name }) => name),
    ["a.one.test", "a.two.test"],
  );
  assert.deepEqual(await all.ask("HERE.test"), [{ address: "10.9.9.9", ttl: 0 }]);
  assert.deepEqual(await all.ask("localhost"), [{ address: "127.0.0.1", ttl: 0 }]);
  assert.deepEqual(await all.ask("10.1.2.3"), [{ address: "10.1.2.3", ttl: 0 }]);
  assert.equal(all.server.asked.length, 2);
  await assert.rejects(all.ask("a", { resolver: { ...all.resolver, noSearch: true } }), /there is no name/);
});

test("hundreds of names at once do not ask more questions than there are places", async () => {
  let [active, most] = [0, 0];
  const held: (() => void)[] = [];
  const resolve = createResolver({
    udp: async () => {
      most = Math.max(most, ++active);
      await new Promise<void>((done) => held.push(done));
      active--;
      throw new Error("no");
    },
    tcp: () => Promise.reject(new Error("no")),
    id: () => 1,
    random: () => 0,
    readText: () => "",
  });
  const resolver = { ...machineResolver, attempts: 1 };
  const asked = Array.from({ length: 400 }, (_, i) => resolve({ name: `n${i}.test`, family: "v4", resolver }));
  const settled = Promise.allSettled(asked);
  for (let done = 0; done < 400; ) {
    await new Promise<void>((turn) => setImmediate(turn));
    for (const free of held.splice(0)) {
      free();
      done++;
    }
  }
  await settled;
  assert.equal(most, 256);
});

test("resolv.conf is read as the C library reads it", () => {
  const conf = parseResolvConf(
    "# c\nnameserver 10.0.0.1\nnameserver fe80::1%eth0 ; x\nnameserver nonsense\ndomain a.test\nsearch B.test c.test.\n" +
      "options ndots:5 timeout:1 attempts:9 rotate use-vc unknown:3\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
  );
  assert.deepEqual(conf, {
    servers: ["10.0.0.1", "fe80::1%eth0", "10.0.0.3"].map((host) => ({ host, port: 53 })),
    search: ["b.test", "c.test"],
    ...{ ndots: 5, timeoutMs: 1000, attempts: 5, rotate: true, useTcp: true },
  });
  assert.deepEqual(parseResolvConf("").servers, [{ host: "127.0.0.1", port: 53 }]);
  assert.deepEqual(searchedNames("a.b", { search: ["x"], ndots: 1 }), ["a.b", "a.b.x"]);
  assert.deepEqual(searchedNames("a.b", { search: ["x"], ndots: 2 }), ["a.b.x", "a.b"]);
  assert.deepEqual(searchedNames("a.", { search: ["x"], ndots: 5 }), ["a"]);
});

test("a hosts file gives every name its addresses", () => {
  const hosts = parseHosts("127.0.0.1 localhost\n::1 localhost ip6\nnonsense x\n10.0.0.1 a A b # c\n10.0.0.2 a\n");
  assert.deepEqual(
    [...hosts],
    [
      ["localhost", ["127.0.0.1", "::1"]],
      ["ip6", ["::1"]],
      ["a", ["10.0.0.1", "10.0.0.2"]],
      ["b", ["10.0.0.1"]],
    ],
  );
});
