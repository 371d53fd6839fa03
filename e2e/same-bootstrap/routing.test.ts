/** What a route makes of a request, from both proxies alike: which route, which upstream, which headers both ways. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { maskAnswer } from "./compare.ts";
import { callHttp2 } from "./http2-call.ts";
import { alike, apartIn, type Deed, type Pair, startPair } from "./pair.ts";
import { routingBootstrap, routingListeners } from "./routing-bootstrap.ts";
import { type RoutingCase, routingCases } from "./routing-cases.ts";
import { routingDifferences } from "./routing-differences.ts";
import { type RoutingUpstream, startRoutingUpstream } from "./routing-upstream.ts";
import { maskTalk, type Step, talk } from "./talk.ts";

let pair: Pair | undefined;
let shadow: RoutingUpstream;
const upstreams: RoutingUpstream[] = [];

before(async () => {
  for (const name of ["one", "two", "three", "shadow"]) upstreams.push(await startRoutingUpstream(name));
  const [one = 0, two = 0, three = 0, copies = 0] = upstreams.map(({ port }) => port);
  shadow = upstreams[3] ?? assert.fail();
  const closed = await findFreePort("127.0.0.1", 0);
  pair = await startPair(routingListeners, (own) =>
    routingBootstrap(own, { one, two, three, shadow: copies, closed, echo: one }),
  );
});

after(async () => {
  await pair?.[Symbol.asyncDispose]();
  for (const each of upstreams) await each[Symbol.asyncDispose]();
});

const bytesOf = (each: RoutingCase, key: string): string => {
  const { path, method = "GET", headers = [], body } = each;
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${hostOf(each)}`, `x-case: ${key}`, ...headers];
  if (body !== undefined) lines.push(`content-length: ${body.length}`);
  return `${lines.join("\r\n")}\r\n\r\n${body ?? ""}`;
};

const whole: Step = { until: /content-length: (\d+)[\s\S]*\r\n\r\n[\s\S]*|\r\n0\r\n\r\n$/ };

/** Values of time, and of addresses that each proxy has of its own. */
const mask = (text: string): string =>
  text
    .replace(/("x-case":)"[^"]*"/g, "$1(case)")
    .replace(/("x-envoy-expected-rq-timeout-ms":)"(\d+)"/g, (_, name, ms) => `${name}${Math.ceil(Number(ms) / 1000)}`)
    .replace(/(session=)"[0-9a-f]{16}"/g, "$1(made)")
    .replace(/("x-forwarded-for":)"[^"]*"/g, "$1(addresses)")
    .replace(/("x-request-id":)"[^"]*"/g, "$1(some)")
    .replace(/,"/g, ', "')
    .replace(/^(content-length: )\d+$/g, "$1(some)");

const hostOf = ({ host }: RoutingCase): string => (host.includes(".") ? host : `${host}.example`);

const askHttp2 = async (each: RoutingCase, port: number, key: string): Promise<unknown> => {
  const { path, method = "GET", headers = [], body } = each;
  const given = headers.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  const answer = await callHttp2(port, {
    fields: [
      [":method", method],
      [":scheme", "http"],
      [":authority", hostOf(each)],
      [":path", path],
      ["x-case", key],
      ...given,
    ],
    ...(body === undefined ? {} : { body }),
  });
  return mask(JSON.stringify(maskAnswer(answer)));
};

const askHttp1 = async (each: RoutingCase, port: number, key: string): Promise<unknown> => {
  const first: Step[] = [{ send: bytesOf(each, key) }];
  const step = each.inside
    ? [...first, { until: /\r\n\r\n/ }, { send: each.inside }, { until: /\}$/ }]
    : [...first, whole];
  const times = each.times ?? 1;
  const talks = [];
  if (each.apart) for (let i = 0; i < times; i++) talks.push(await talk(port, step));
  else talks.push(await talk(port, Array.from({ length: times }, () => step).flat()));
  return talks.map((said) => {
    const { received, ended } = maskTalk(said);
    return { received: received.map((part) => part.map(mask)), ended };
  });
};

const deedOf =
  (each: RoutingCase): Deed =>
  async (peer) => {
    const key = `${each.name} of ${peer.name.padEnd(5, ".")}`;
    const port = peer.port(each.listener ?? "plain");
    const answers = await (each.http2 ? askHttp2 : askHttp1)(each, port, key);
    if (each.copies === undefined) return answers;
    const most = each.copies;
    const seen = (): readonly string[] => shadow.seen(key);
    await eventually("the copies came", () => (seen().length >= most ? true : undefined), 1500).catch(() => {});
    return { answers, copies: seen().map(mask) };
  };

describe("routing", { concurrency: 12 }, () => {
  for (const each of routingCases) {
    const difference = routingDifferences.get(each.name);
    if (difference === undefined) alike(each.name, () => pair ?? assert.fail("not started"), deedOf(each));
    else apartIn(each.name, () => pair ?? assert.fail("not started"), deedOf(each), difference);
  }
});

test("there are at least a hundred and fifty cases, each difference is of one", () => {
  const names = new Set(routingCases.map(({ name }) => name));
  assert.equal(names.size, routingCases.length);
  assert.ok(names.size >= 150, `${names.size}`);
  assert.deepEqual(
    [...routingDifferences.keys()].filter((name) => !names.has(name)),
    [],
  );
});
