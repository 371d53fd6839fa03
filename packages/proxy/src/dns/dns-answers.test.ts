import assert from "node:assert/strict";
import { test } from "node:test";
import { setRealTimer } from "@weft/net/clock";
import { createTcpAsk, createUdpAsk } from "@weft/net/dns/exchange";
import { decodeDns } from "@weft/protocols/dns/decode";
import { encodeDns } from "@weft/protocols/dns/encode";
import { createQuery, createReply, type DnsMessage, recordType } from "@weft/protocols/dns/message";
import fc from "fast-check";
import { createStats } from "../observe/create-stats.ts";
import type { CompiledDnsListener, ForwardSettings } from "./compile-dns-listener.ts";
import { DnsAnswers, dnsCounters } from "./dns-answers.ts";
import { Forwarder, type ForwarderTools } from "./forwarder.ts";
import { compileNameTable } from "./name-table.ts";
import { defaultResolvConf } from "./resolv-conf.ts";
import { machineResolver } from "./resolve-name.ts";
import { addressRecord, answering, startFakeDns } from "./testing/fake-dns.ts";

const local = { host: "127.0.0.1", port: 40_000 };
const domain = (name: string, ...address: readonly string[]) => ({
  name,
  endpoint: { addressList: { address: [...address] } },
  answerTtl: "30s",
});
const many = Array.from({ length: 100 }, (_, index) => `10.1.0.${index}`);
const table = compileNameTable(
  {
    virtualDomains: [
      domain("two.example", "10.0.0.1", "10.0.0.2", "fd00::1"),
      domain("four.example", "10.0.0.4"),
      domain("many.example", ...many),
      domain("own.default.svc.mesh.test", "10.0.0.9"),
    ],
    knownSuffixes: [{ suffix: "svc.mesh.test" }],
  },
  "",
);

const setUp = (over: {
  readonly servers?: readonly { host: string; port: number }[];
  readonly forward?: Partial<ForwardSettings> | null;
  readonly tools?: Partial<ForwarderTools>;
  readonly search?: readonly string[];
}) => {
  const counters = dnsCounters(createStats());
  const forwarder = new Forwarder({
    udp: createUdpAsk(setRealTimer),
    tcp: createTcpAsk(setRealTimer),
    id: () => 4711,
    clock: { nowMs: () => performance.now(), wallMs: () => 0 },
    machine: () => ({ ...defaultResolvConf, attempts: 1, servers: over.servers ?? [] }),
    isOwn: ({ port }) => port === 53,
    ...over.tools,
  });
  const forward =
    over.forward === null
      ? undefined
      : { resolver: machineResolver, timeoutMs: 5_000, questionsMax: 2, ...over.forward };
  const config: CompiledDnsListener = { name: "dns", addresses: [], table, forward };
  const isLocal = (host: string): boolean => host === "127.0.0.1";
  const answers = new DnsAnswers(config, { counters, forwarder, isLocal, search: () => over.search ?? [] });
  const raw = (bytes: Buffer, tcp = false, from = local): Promise<Buffer | undefined> =>
    answers.answer({ bytes, from, tcp });
  const ask = async (name: string, type: number, rest: Partial<DnsMessage> = {}, tcp = false): Promise<DnsMessage> => {
    const query = { ...createQuery(77, { name, type, class: 1 }), ...rest };
    return decodeDns((await raw(encodeDns(query), tcp)) ?? assert.fail("no answer"));
  };
  return { counters, answers, raw, ask };
};
const addresses = ({ answers }: DnsMessage): readonly string[] =>
  answers.map(({ data }) => (data.kind === "address" ? data.address : ""));

test("addresses of the family asked for, with the time to live, first another one each time", async () => {
  const { ask } = setUp({});
  const replies = [await ask("TWO.example", recordType.a), await ask("two.example", recordType.a)];
  assert.deepEqual(new Set(replies.map((reply) => addresses(reply)[0])), new Set(["10.0.0.1", "10.0.0.2"]));
  assert.deepEqual([replies[0]?.id, replies[0]?.response, replies[0]?.answers[0]?.ttl], [77, true, 30]);
  assert.equal(replies[0]?.questions[0]?.name, "TWO.example");
  assert.deepEqual(addresses(await ask("two.example", recordType.aaaa)), ["fd00::1"]);
});

test("a name without addresses of the family is there and has none; hints of other addresses are not fetched", async () => {
  const { ask } = setUp({});
  for (const type of [recordType.aaaa, 65, 64]) {
    const reply = await ask("four.example", type);
    assert.deepEqual([reply.code, reply.answers.length, reply.authoritative], [0, 0, true]);
  }
});

test("there is no such name only where nobody else could know it", async () => {
  assert.equal((await setUp({}).ask("none.default.svc.mesh.test", recordType.a)).code, 3);
  assert.equal((await setUp({}).ask("own.default.svc.mesh.test", recordType.txt)).code, 0);
  // Nobody can be asked here, so what would be forwarded fails.
  assert.equal((await setUp({}).ask("none.example", recordType.a)).code, 2);
  const { ask } = setUp({ search: ["default.svc.mesh.test", "svc.mesh.test"] });
  assert.equal((await ask("none.default.svc.mesh.test", recordType.a)).code, 2);
  assert.equal((await setUp({ forward: null }).ask("none.example", recordType.a)).code, 3);
});

test("what does not fit is cut over UDP, is whole over TCP, and fits where EDNS makes room", async () => {
  const { ask, counters } = setUp({});
  const cut = await ask("many.example", recordType.a);
  assert.ok(cut.truncated && cut.answers.length < many.length);
  assert.equal(counters.truncated.value, 1);
  const whole = await ask("many.example", recordType.a, {}, true);
  assert.deepEqual([whole.truncated, whole.answers.length], [false, many.length]);
  const edns = { udpBytes: 65_535, version: 0, dnssecOk: false };
  const wide = await ask("many.example", recordType.a, { edns });
  assert.deepEqual([wide.truncated, wide.answers.length, wide.edns?.version], [false, many.length, 0]);
});

test("questions that cannot be answered are told so", async () => {
  const { ask, raw, counters } = setUp({});
  assert.equal((await ask("two.example", recordType.a, { opcode: 5 })).code, 4);
  assert.equal((await ask("two.example", 252)).code, 5);
  const edns = { udpBytes: 1232, version: 1, dnssecOk: false };
  assert.equal((await ask("two.example", recordType.a, { edns })).code, 16);
  const question = { name: "two.example", type: 1, class: 1 };
  assert.equal((await ask("two.example", 1, { questions: [question, question] })).code, 1);
  assert.equal((await ask("two.example", 1, { questions: [] })).code, 1);
  const whole = encodeDns(createQuery(9, question));
  const torn = decodeDns((await raw(whole.subarray(0, -3))) ?? assert.fail());
  assert.deepEqual([torn.id, torn.code, torn.response], [9, 1, true]);
  assert.equal(counters.malformed.value, 3);
});

test("many questions in one message are refused by its head, however long their names", async () => {
  const { raw, counters } = setUp({});
  const label = (index: number, each: number): string => `${index}-${each}-`.padEnd(63, "x");
  const question = (index: number) => ({
    name: [0, 1, 2].map((each) => label(index, each)).join("."),
    type: 1,
    class: 1,
  });
  const questions = Array.from({ length: 6 }, (_, index) => question(index));
  for (const tcp of [false, true]) {
    const bytes = encodeDns({ ...createQuery(5, question(0)), questions });
    assert.deepEqual([decodeDns((await raw(bytes, tcp)) ?? assert.fail()).code, bytes.length > 512], [1, true]);
    bytes.writeUInt16BE(0x2800, 2);
    assert.equal(decodeDns((await raw(bytes, tcp)) ?? assert.fail()).code, 4);
  }
  assert.deepEqual([counters.malformed.value, counters.refused.value], [2, 2]);
});

test("answers, fragments and whoever is not on this machine get nothing", async () => {
  const { raw, counters } = setUp({});
  const query = createQuery(1, { name: "two.example", type: 1, class: 1 });
  assert.equal(await raw(encodeDns(createReply(query, {}))), undefined);
  assert.equal(await raw(Buffer.alloc(11)), undefined);
  assert.equal(await raw(Buffer.alloc(0)), undefined);
  assert.equal(await raw(encodeDns(query), false, { host: "10.9.9.9", port: 53 }), undefined);
  assert.equal(counters.refused.value, 1);
});

test("no bytes make it throw, and what it says is a reply that can be read", async () => {
  const { raw } = setUp({});
  const seed = encodeDns(createQuery(5, { name: "two.example", type: 1, class: 1 }));
  const mutated = fc
    .array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((edits) => {
      const bytes = Buffer.from(seed);
      for (const [at, value] of edits) bytes[at] = value;
      return bytes;
    });
  const anything = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes));
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, anything), fc.boolean(), async (bytes, tcp) => {
      const reply = await raw(bytes, tcp);
      if (reply === undefined) return;
      const message = decodeDns(reply);
      assert.ok(message.response && message.id === bytes.readUInt16BE(0) && reply.length <= 4096);
    }),
    { numRuns: 500 },
  );
});

test("other names are asked for as they came, and the answer goes back as it is", async () => {
  await using server = await startFakeDns(({ name, type }) => ({
    answers: [{ name, type, class: 1, ttl: 9, data: { kind: "bytes", bytes: Uint8Array.of(1, 0x78) } }],
  }));
  const { ask, counters } = setUp({ servers: [{ host: "127.0.0.1", port: server.port }] });
  const edns = { udpBytes: 1400, version: 0, dnssecOk: true };
  const reply = await ask("Else.example", recordType.txt, { edns });
  assert.deepEqual([reply.id, reply.answers[0]?.ttl, reply.answers[0]?.name], [77, 9, "Else.example"]);
  assert.deepEqual([server.asked[0]?.query.id, server.asked[0]?.query.edns], [4711, edns]);
  // What a table says of a name's addresses says nothing of its mail.
  assert.equal((await ask("two.example", recordType.txt)).answers.length, 1);
  assert.deepEqual([counters.forwarded.value, counters.answered.value], [2, 0]);
});

test("a server that fails is passed over, and its failure is told when nobody does better", async () => {
  await using bad = await startFakeDns(() => ({ code: 2 }));
  await using good = await startFakeDns(answering({ "else.example": ["192.0.2.1"] }));
  const servers = [bad, good].map(({ port }) => ({ host: "127.0.0.1", port }));
  assert.deepEqual(addresses(await setUp({ servers }).ask("else.example", 1)), ["192.0.2.1"]);
  assert.equal((await setUp({ servers: servers.slice(0, 1) }).ask("else.example", 1)).code, 2);
  assert.equal((await setUp({ servers }).ask("none.example", 1)).code, 3);
});

test("silence and forged answers end in SERVFAIL", async () => {
  await using silent = await startFakeDns(() => undefined);
  const quick = { servers: [{ host: "127.0.0.1", port: silent.port }], forward: { timeoutMs: 60 } };
  const { ask, counters } = setUp(quick);
  assert.equal((await ask("else.example", 1)).code, 2);
  assert.equal(counters.failed.value, 1);
  silent.answer = ({ query }) => encodeDns(createReply({ ...query, id: query.id ^ 1 }, {}));
  assert.equal((await setUp(quick).ask("else.example", 1)).code, 2);
  silent.answer = ({ query }) =>
    encodeDns(createReply({ ...query, questions: [{ name: "evil.example", type: 1, class: 1 }] }, {}));
  assert.equal((await setUp(quick).ask("else.example", 1)).code, 2);
});

test("an answer too long for its asker is cut, and asked for over TCP by who comes that way", async () => {
  const records = many.map((address) => addressRecord("long.example", address));
  await using server = await startFakeDns(({ query }) => encodeDns(createReply(query, { answers: records })));
  const { ask } = setUp({ servers: [{ host: "127.0.0.1", port: server.port }] });
  const cut = await ask("long.example", 1);
  assert.deepEqual([cut.truncated, cut.answers.length], [true, 0]);
  server.answer = () => ({ answers: records });
  assert.equal((await ask("long.example", 1, {}, true)).answers.length, many.length);
  assert.deepEqual(
    server.asked.map(({ tcp }) => tcp),
    [false, true],
  );
});

test("no more than so many are under way, and one that comes back to us is not sent round again", async () => {
  const waiting: (() => void)[] = [];
  const udp: ForwarderTools["udp"] = () =>
    new Promise((_, reject) => waiting.push(() => reject(new Error("timed out"))));
  const servers = [{ host: "192.0.2.53", port: 5353 }];
  const { ask, counters } = setUp({ servers, tools: { udp } });
  const first = ask("a.example", 1);
  const second = ask("b.example", 1);
  const looped = await ask("A.example", 1, { id: 4711 });
  assert.deepEqual([looped.code, counters.loops.value], [2, 1]);
  assert.equal((await ask("c.example", 1)).code, 2);
  assert.deepEqual([counters.overflow.value, waiting.length], [1, 2]);
  for (const end of waiting) end();
  assert.deepEqual([(await first).code, (await second).code], [2, 2]);
});

test("it never asks itself", async () => {
  let asked = 0;
  const udp: ForwarderTools["udp"] = () => {
    asked++;
    return Promise.reject(new Error("not to be asked"));
  };
  const { ask } = setUp({ servers: [{ host: "127.0.0.1", port: 53 }], tools: { udp } });
  assert.deepEqual([(await ask("else.example", 1)).code, asked], [2, 0]);
});
