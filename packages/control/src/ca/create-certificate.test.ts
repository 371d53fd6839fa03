import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { grpcStatus } from "@weft/core/grpc-status";
import { silentLogger } from "@weft/core/world";
import { GrpcError } from "@weft/net/grpc/status";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { createCsr } from "@weft/protocols/x509/csr";
import { IstioCertificateRequestSchema, IstioCertificateResponseSchema } from "@weft/xds/gen/istio/ca";
import { openAuthority } from "./authority.ts";
import { caHandlers, createCertificatePath } from "./ca-service.ts";
import { memoryCaStore } from "./ca-store.ts";
import { type CertificateAnswer, type CertificateCaller, createCertificate } from "./create-certificate.ts";
import { createIssueBudget } from "./issue-budget.ts";
import { type NewToken, openJoinTokens } from "./join-tokens.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
const web = "spiffe://cluster.local/ns/shop/sa/web";
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const csrFor = (...uris: readonly string[]): string => createCsr(key, { ...noAltNames, uris });

const setUp = (burst = 100) => {
  const store = memoryCaStore();
  const options = {
    authority: openAuthority({ store, trustDomain: "cluster.local", nowMs, randomBytes }),
    tokens: openJoinTokens({ store, randomBytes }),
    budget: createIssueBudget(1, burst),
    systemNamespace: "istio-system",
    log: silentLogger,
  };
  return {
    options,
    tokens: options.tokens,
    token: (grant: NewToken = {}): string => `Bearer ${options.tokens.create(grant, nowMs).token}`,
    ask: (caller: Partial<CertificateCaller>, csr: string, seconds = 0n): Promise<CertificateAnswer> =>
      createCertificate(
        options,
        { authorization: undefined, spiffe: undefined, address: "127.0.0.1:1", ...caller },
        { csr, validityDuration: seconds },
        nowMs,
      ),
  };
};

const identityOf = (answer: CertificateAnswer): string =>
  answer.kind === "issued"
    ? (new X509Certificate(answer.chain[0] ?? "").subjectAltName ?? "")
    : `${answer.status} ${answer.message.slice(0, 6)}`;

test("a join token gives the identity the request names, once", async () => {
  const { ask, token } = setUp();
  const authorization = token();
  assert.equal(identityOf(await ask({ authorization }, csrFor(web))), `URI:${web}`);
  assert.equal(identityOf(await ask({ authorization }, csrFor(web))), "16 WF7110");
});

test("a bound token gives its identity also when the request names none", async () => {
  const { ask, token } = setUp();
  const authorization = token({ namespace: "shop", serviceAccount: "web" });
  assert.equal(identityOf(await ask({ authorization }, csrFor())), `URI:${web}`);
});

test("a certificate renews itself, with or without being named, and uses up no token", async () => {
  const { ask, tokens, token } = setUp();
  const authorization = token();
  assert.equal(identityOf(await ask({ spiffe: web, authorization }, csrFor(web))), `URI:${web}`);
  assert.equal(identityOf(await ask({ spiffe: web }, csrFor())), `URI:${web}`);
  assert.equal(tokens.list(nowMs)[0]?.uses, 1);
});

test("who shows nothing that counts is told to authenticate", async () => {
  const { ask, token } = setUp();
  const cases: readonly (readonly [string, Partial<CertificateCaller>])[] = [
    ["16 WF7101", {}],
    ["16 WF7101", { spiffe: "spiffe://cluster.local/other/shape" }],
    ["16 WF7110", { authorization: "" }],
    ["16 WF7110", { authorization: "Bearer" }],
    ["16 WF7110", { authorization: "Bearer weft.x.y" }],
    ["16 WF7110", { authorization: token().replace("Bearer", "Basic") }],
    ["16 WF7110", { authorization: `${token()} x` }],
  ];
  for (const [expected, caller] of cases)
    assert.equal(identityOf(await ask(caller, csrFor(web))), expected, JSON.stringify(caller));
});

test("nobody gets another's identity", async () => {
  const { ask, token } = setUp();
  const other = "spiffe://cluster.local/ns/shop/sa/payments";
  const foreign = "spiffe://evil.example/ns/shop/sa/web";
  const cases: readonly (readonly [string, Partial<CertificateCaller>, string])[] = [
    ["7 WF7111", { spiffe: web }, csrFor(other)],
    ["7 WF7111", { spiffe: foreign }, csrFor()],
    ["7 WF7111", { spiffe: foreign }, csrFor(foreign)],
    ["7 WF7111", { spiffe: foreign }, csrFor(web)],
    ["7 WF7111", { authorization: token() }, csrFor(foreign)],
    ["7 WF7111", { authorization: token({ namespace: "other" }) }, csrFor(web)],
    ["7 WF7111", { authorization: token({ serviceAccount: "other" }) }, csrFor(web)],
    ["7 WF7112", { authorization: token() }, csrFor()],
    ["7 WF7112", { authorization: token({ namespace: "shop" }) }, csrFor()],
    ["3 WF7112", { authorization: token() }, csrFor(web, web)],
    ["3 WF7112", { authorization: token() }, csrFor("spiffe://cluster.local/web")],
    ["3 WF7112", { spiffe: web }, csrFor(web, other)],
  ];
  for (const [expected, caller, csr] of cases) assert.equal(identityOf(await ask(caller, csr)), expected);
});

test("a refused request does not use up its token", async () => {
  const { ask, token } = setUp();
  const authorization = token();
  assert.equal((await ask({ authorization }, "x")).kind, "refused");
  assert.equal((await ask({ authorization }, csrFor("spiffe://evil.example/ns/a/sa/b"))).kind, "refused");
  assert.equal((await ask({ authorization }, csrFor(web))).kind, "issued");
});

test("requests that are none are refused as such", async () => {
  const { ask } = setUp();
  for (const csr of [
    "",
    "x",
    "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n",
    "A".repeat(1e6),
  ]) {
    assert.equal(identityOf(await ask({ spiffe: web }, csr)), "3 WF7113");
  }
});

test("the duration asked for is given within the limits", async () => {
  const { ask } = setUp();
  const lifeOf = async (seconds: bigint): Promise<number> => {
    const answer = await ask({ spiffe: web }, csrFor(), seconds);
    return answer.kind === "issued" ? (answer.notAfterMs - nowMs) / 1000 : -1;
  };
  assert.equal(await lifeOf(0n), 86_400);
  assert.equal(await lifeOf(-5n), 86_400);
  assert.equal(await lifeOf(3600n), 3600);
  assert.equal(await lifeOf(2n ** 62n), 90 * 86_400);
});

test("a flood is refused before any signature is checked, and the strangers in it cost no budget", async () => {
  const { ask } = setUp(2);
  for (let i = 0; i < 10; i++) assert.equal(identityOf(await ask({}, csrFor(web))), "16 WF7101");
  assert.equal((await ask({ spiffe: web }, csrFor())).kind, "issued");
  assert.equal((await ask({ spiffe: web }, "x")).kind, "refused");
  assert.equal(identityOf(await ask({ spiffe: web }, csrFor())), "8 WF7114");
});

test("the budget fills up again with time, never above its burst", () => {
  const budget = createIssueBudget(10, 2);
  const takes = (atMs: number): number => [1, 2, 3].filter(() => budget.take(atMs)).length;
  assert.deepEqual([takes(0), takes(0), takes(100), takes(50), takes(100_000)], [2, 0, 1, 0, 2]);
});

test("the service answers bytes with bytes and refusals with a status", async () => {
  const { options, token } = setUp();
  const handler = caHandlers({ ...options, clock: { nowMs: () => 0, wallMs: () => nowMs } }).get(createCertificatePath);
  assert.ok(handler?.kind === "unary");
  const request = toBinary(IstioCertificateRequestSchema, create(IstioCertificateRequestSchema, { csr: csrFor(web) }));
  const call = {
    path: createCertificatePath,
    metadata: new Map([["authorization", token()]]),
    peer: { address: "127.0.0.1:1", secure: true, spiffe: undefined },
  };
  const response = fromBinary(IstioCertificateResponseSchema, await handler.handle(request, call));
  assert.equal(response.certChain.length, 2);
  const hasStatus = (status: number) => (error: unknown) => error instanceof GrpcError && error.status === status;
  await assert.rejects(handler.handle(request, call), hasStatus(grpcStatus.unauthenticated));
  await assert.rejects(handler.handle(Buffer.from([255]), call), hasStatus(grpcStatus.invalidArgument));
});

test("a token gives a system identity only when it was made for it by name", async () => {
  const { ask, token } = setUp();
  const gateway = "spiffe://cluster.local/ns/istio-system/sa/gateway";
  const istiod = "spiffe://cluster.local/ns/istio-system/sa/istiod";
  const elsewhere = "spiffe://cluster.local/ns/shop/sa/istiod";
  const cases: readonly (readonly [grant: NewToken, wanted: string, given: boolean])[] = [
    [{}, gateway, false],
    [{}, istiod, false],
    [{}, elsewhere, false],
    [{ serviceAccount: "gateway" }, gateway, false],
    [{ serviceAccount: "istiod" }, istiod, false],
    [{ namespace: "istio-system" }, istiod, false],
    [{ namespace: "shop" }, elsewhere, false],
    [{ namespace: "istio-system" }, gateway, true],
    [{ namespace: "istio-system", serviceAccount: "istiod" }, istiod, true],
    [{ serviceAccount: "istiod" }, elsewhere, true],
    [{}, web, true],
  ];
  for (const [grant, wanted, given] of cases) {
    const authorization = token(grant);
    const answer = identityOf(await ask({ authorization }, csrFor(wanted)));
    assert.equal(answer, given ? `URI:${wanted}` : "7 WF7117", `${JSON.stringify(grant)} ${wanted}`);
  }
});

test("a refused system identity uses up no token, and a certificate renews its own", async () => {
  const { ask, token } = setUp();
  const istiod = "spiffe://cluster.local/ns/istio-system/sa/istiod";
  const authorization = token();
  assert.equal(identityOf(await ask({ authorization }, csrFor(istiod))), "7 WF7117");
  assert.equal(identityOf(await ask({ authorization }, csrFor(web))), `URI:${web}`);
  assert.equal(identityOf(await ask({ spiffe: istiod }, csrFor())), `URI:${istiod}`);
});

test("a token of Kubernetes gives its account's identity and no other", async () => {
  const { options } = setUp();
  const asked: string[] = [];
  const reviewToken = async (token: string) => {
    asked.push(token);
    return token === "a.b.c" ? { namespace: "shop", serviceAccount: "web" } : undefined;
  };
  const ask = (authorization: string, csr: string) =>
    createCertificate(
      { ...options, reviewToken },
      { authorization, spiffe: undefined, address: "127.0.0.1:1" },
      { csr, validityDuration: 0n },
      nowMs,
    );
  assert.equal(identityOf(await ask("Bearer a.b.c", csrFor(web))), `URI:${web}`);
  assert.equal(identityOf(await ask("Bearer a.b.c", csrFor())), `URI:${web}`);
  assert.equal(identityOf(await ask("Bearer a.b.c", csrFor("spiffe://cluster.local/ns/shop/sa/db"))), "7 WF7111");
  assert.equal(identityOf(await ask("Bearer x.y.z", csrFor(web))), "16 WF7110");
  assert.deepEqual(asked, ["a.b.c", "a.b.c", "a.b.c", "x.y.z"]);
});
