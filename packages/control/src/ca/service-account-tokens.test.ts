import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { KubernetesCall } from "@weft/net/kubernetes/kubernetes-api";
import { reviewsMax, reviewTokens, tokenLengthMax } from "./service-account-tokens.ts";

const token = "aaa.bbb.ccc";
const good = {
  status: { authenticated: true, audiences: ["istio-ca"], user: { username: "system:serviceaccount:shop:web" } },
};
const answering = (answer: unknown) => {
  const asked: KubernetesCall[] = [];
  const api = {
    call: async (call: KubernetesCall): Promise<unknown> => {
      asked.push(call);
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  return { asked, review: reviewTokens(api, silentLogger) };
};

test("a token that Kubernetes knows is its account's, for our audience alone", async () => {
  const { asked, review } = answering(good);
  assert.deepEqual(await review(token), { namespace: "shop", serviceAccount: "web" });
  assert.deepEqual((asked[0]?.body as { spec: unknown } | undefined)?.spec, { token, audiences: ["istio-ca"] });
});

test("every other answer is nobody's", async () => {
  const { status } = good;
  for (const answer of [
    {},
    null,
    "text",
    { status: null },
    { status: { ...status, authenticated: false } },
    { status: { ...status, authenticated: "true" } },
    { status: { ...status, audiences: undefined } },
    { status: { ...status, audiences: ["https://kubernetes.default.svc"] } },
    { status: { ...status, user: { username: "admin" } } },
    { status: { ...status, user: { username: "system:serviceaccount:shop:web:more" } } },
    { status: { ...status, user: { username: "system:serviceaccount:shop/x:web" } } },
    new Error("refused"),
  ])
    assert.equal(await answering(answer).review(token), undefined, JSON.stringify(answer));
});

test("what cannot be such a token is not asked about", async () => {
  const { asked, review } = answering(good);
  for (const text of ["", "weft-join-token", "a.b", "a.b.c.d", "a b.c.d", `a.b.${"c".repeat(tokenLengthMax)}`])
    assert.equal(await review(text), undefined);
  assert.equal(asked.length, 0);
});

test("a flood asks no more than so many questions at a time", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  let asked = 0;
  const review = reviewTokens(
    {
      call: () => {
        asked++;
        return promise;
      },
    },
    silentLogger,
  );
  const all = Array.from({ length: reviewsMax + 5 }, () => review(token));
  assert.equal(asked, reviewsMax);
  resolve(good);
  const answers = await Promise.all(all);
  assert.equal(answers.filter(Boolean).length, reviewsMax);
  assert.deepEqual(await review(token), { namespace: "shop", serviceAccount: "web" });
});
