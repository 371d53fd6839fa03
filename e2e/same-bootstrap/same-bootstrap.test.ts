/** Our sidecar and Envoy, given the same bootstrap file, answer the same requests alike. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { envoyPath } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { type Program, startProgram, startWeft } from "@weft/testkit/processes";
import { type RawAnswer, sendRaw } from "@weft/testkit/raw-http";
import { sharedBootstrap } from "./bootstrap.ts";
import { coarseTime } from "./compare.ts";
import { type SharedRequest, sharedRequests } from "./requests.ts";

interface Proxy {
  readonly name: string;
  readonly program: Program;
  readonly http: string;
  readonly tcp: string;
}

const folder = mkdtempSync(join(tmpdir(), "weft-same-"));
const proxies: Proxy[] = [];
const upstreams: EchoServer[] = [];

const start = async (name: "weft" | "envoy", two: readonly [number, number], closed: number): Promise<Proxy> => {
  const port = (): Promise<number> => findFreePort("127.0.0.1", 0);
  const [http, tcp, admin] = [await port(), await port(), await port()];
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(sharedBootstrap({ http, tcp, admin, upstreams: two, closed })));
  const program =
    name === "weft"
      ? startWeft(["sidecar", "--bootstrap", file])
      : startProgram(envoyPath, ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
  await eventually(`${name} is ready`, async () =>
    (await fetch(`http://127.0.0.1:${admin}/ready`)).status === 200 ? true : undefined,
  );
  return { name, program, http: `127.0.0.1:${http}`, tcp: `127.0.0.1:${tcp}` };
};

before(async () => {
  upstreams.push(await startEchoServer("one"), await startEchoServer("two"));
  const [one, two] = upstreams.map(({ port }) => port);
  const closed = await findFreePort("127.0.0.1", 0);
  for (const name of ["envoy", "weft"] as const) proxies.push(await start(name, [one ?? 0, two ?? 0], closed));
});

after(async () => {
  for (const { program } of proxies) await program[Symbol.asyncDispose]();
  for (const upstream of upstreams) await upstream[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Values that differ from run to run by nature; their presence still counts. */
const varying = /^(date|x-request-id|x-envoy-upstream-service-time)$/;

const timeLeft = "x-envoy-expected-rq-timeout-ms";

/** What upstream saw, with the parts that vary by nature taken out. */
const comparableBody = (body: string, request: SharedRequest): unknown => {
  if (request.ignoreBody) return "not compared";
  try {
    const seen = JSON.parse(body) as { headers?: Record<string, string> };
    // What is left of the timeout at a second attempt differs by what the first one took.
    const left = Number(seen.headers?.[timeLeft]);
    if (seen.headers && left > 0) seen.headers[timeLeft] = coarseTime(left);
    for (const name of Object.keys(seen.headers ?? {}))
      if (varying.test(name) && seen.headers) seen.headers[name] = "(some)";
    return seen;
  } catch {
    // Which of its sockets failed, and the errno, is each proxy's own.
    return body.replace(/(reset reason: [a-z ]+).*/, "$1");
  }
};

const comparable = ({ status, headers, body, closed }: RawAnswer, request: SharedRequest) => ({
  status,
  headers: request.ignoreBody
    ? []
    : headers
        .map(([name, value]) =>
          [name, varying.test(name) || (name === "content-length" && status >= 400) ? "(some)" : value].join(": "),
        )
        .sort(),
  body: comparableBody(body, request),
  closed,
});

test("there are at least sixty requests to compare", () => assert.ok(sharedRequests.length >= 60));

for (const request of sharedRequests) {
  test(`alike: ${request.name}`, async () => {
    // One after the other: an upstream that fails every other time must treat both alike.
    const answers = [];
    for (const { http, tcp } of proxies) {
      // After refusing bytes that are not HTTP, Envoy lets its answer arrive for a second before it closes.
      const graceMs = request.ignoreBody ? 1500 : 150;
      answers.push(
        comparable(await sendRaw(request.tcp ? tcp : http, request.bytes, { graceMs, timeoutMs: 1500 }), request),
      );
    }
    const [envoy, weft] = answers;
    assert.deepEqual(weft, envoy);
  });
}
