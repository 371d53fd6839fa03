import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { run, startApi } from "../testing/command-line.ts";

test("registry lists services, and one service's endpoints with their identity and labels", async () => {
  const service = { name: "web", namespace: "a", hostname: "web.a.svc.cluster.local", endpoints: 2, healthy: 1 };
  const endpoint = {
    ...{ address: "::1", port: 9000, servicePort: 80, workload: "web-v1", namespace: "a", serviceAccount: "web" },
    ...{ health: "healthy", weight: 1, locality: "", tls: true, source: "Registry", labels: { version: "v1" } },
  };
  const proxies = { reporting: 3, unhealthy: 2, reasons: { failed_active_hc: 2, failed_outlier_check: 1 } };
  const well = { reporting: 3, unhealthy: 0, reasons: {} };
  await using api = await startApi({
    "/v1/registry": { items: [{ ...service, ports: [{ number: 80, protocol: "http" }], sources: ["Registry"] }] },
    "/v1/registry/web/endpoints": { items: [endpoint] },
    "/v1/registry/sick/endpoints": {
      items: [
        { ...endpoint, sentAs: "unhealthy", proxies },
        { ...endpoint, proxies: well },
      ],
    },
    "/v1/registry/none/endpoints": { items: [] },
  });
  const cp = ["--cp", api.address];
  assert.match(
    (await run(["registry", ...cp])).out,
    /\nweb +a +web\.a\.svc\.cluster\.local +80\/http +2 +1 +Registry\n$/,
  );
  const { out } = await run(["registry", "web", "-n", "a", ...cp]);
  assert.match(out, /\n\[::1\]:9000 +80 +web-v1\.a +ns\/a\/sa\/web +version=v1 +healthy +- +1 +- +yes +Registry\n$/);
  assert.equal(api.asked.at(-1)?.line, "GET /v1/registry/web/endpoints?namespace=a");
  const sick = (await run(["registry", "sick", ...cp])).out;
  assert.match(sick, /healthy, sent as unhealthy +2 of 3 do not use it: failed_active_hc 2, failed_outlier_check 1 +1/);
  assert.match(sick, /healthy +3 use it +1/);
  assert.equal((await run(["registry", "none", ...cp])).out, "It has no endpoints.\n");
});

test("registry sources says of a registry that it is reached and empty, as one under a wrong path is", async () => {
  const none = { held: { absent: 0, expired: 0 }, damped: 0, refused: 0, unreadable: 0, services: 0, instances: 0 };
  const live = { state: "live", ageSeconds: 0, ...none };
  await using api = await startApi({
    "/v1/registries": {
      items: [
        { name: "Registry", url: "embedded:", ...live },
        { name: "etcd", url: "etcd://h:1/servces", ...live },
        { name: "file", url: "file:///x", ...live, unreadable: 1 },
      ],
    },
  });
  const { out } = await run(["registry", "sources", "--cp", api.address]);
  assert.match(out, /embedded: +-\n.*servces +it is reached, and empty\n.*file:\/\/\/x +-\n$/s);
});

test("registry sources shows where services come from, and how old each view is", async () => {
  const none = { held: { absent: 0, expired: 0 }, damped: 0, refused: 0, unreadable: 0 };
  const lost = { name: "etcd", url: "etcd://h:1/x", state: "lost", ageSeconds: 200, reason: "refused", services: 2 };
  const own = { name: "Registry", url: "embedded:", state: "live", ageSeconds: 0, services: 1, instances: 3, ...none };
  const back = { ...own, wentBack: { times: 1, written: 3, overtaken: 1, left: 0 } };
  await using api = await startApi({
    "/v1/registries": {
      items: [
        back,
        { ...lost, instances: 5, ...none, held: { absent: 1, expired: 2 }, unreadable: 4, leftOut: 6, problems: [{}] },
      ],
    },
  });
  const { out } = await run(["registry", "sources", "--cp", api.address]);
  assert.match(
    out,
    /\nRegistry +live +- +1 +3 +0 +0 +embedded: +the store went back, 3 records written back, 0 left\n/,
  );
  assert.match(
    out,
    /\netcd +lost +3m +2 +5 +3 +4 +etcd:\/\/h:1\/x +refused; 6 left out, see weft analyze; 1 problem, see weft analyze\n$/,
  );
  const { items } = JSON.parse((await run(["registry", "sources", "-o", "json", "--cp", api.address])).out);
  assert.deepEqual([items.length, items[1].reason], [2, "refused"]);
});

test("registry sources shows what is written into registries in a table of its own, where there is any", async () => {
  const own = {
    name: "Registry",
    url: "embedded:",
    state: "live",
    ageSeconds: 0,
    services: 1,
    instances: 3,
    damped: 0,
  };
  const none = { held: { absent: 0, expired: 0 }, refused: 0, unreadable: 0 };
  const written = { wanted: 9, written: 7, left: 1, refused: 2 };
  const target = { name: "consul", url: "consul://h:1", state: "lost", reason: "refused", written };
  await using api = await startApi({ "/v1/registries": { items: [{ ...own, ...none }, target] } });
  const { out } = await run(["registry", "sources", "--cp", api.address]);
  assert.match(out, /\nRegistry +live +- +1 +3 +0 +0 +embedded: +-\n\nREGISTERED INTO +STATE/);
  assert.match(out, /\nconsul +lost +7\/9 +consul:\/\/h:1 +refused; 2 refused, see weft analyze; 1 too many\n$/);
});

test("a token is printed alone, or as a list's one item", async () => {
  await using api = await startApi({ "/v1/tokens": { id: "a", token: "weft.a.b", uses: 1 } });
  const argv = ["token", "--cp", api.address];
  assert.equal((await run(argv)).out, "weft.a.b\n");
  const { kind, items } = JSON.parse((await run([...argv, "--ttl", "5m", "--uses", "1", "-o", "json"])).out);
  assert.deepEqual([kind, items], ["TokenList", [{ id: "a", token: "weft.a.b", ttl: "5m", uses: 1 }]]);
});

test("explain tells a code as a page or as data, by the codes of others too", async () => {
  assert.match((await run(["explain", "wf9030"])).out, /^## WF9030 the control plane does not answer\n/);
  const { items } = JSON.parse((await run(["explain", "KIA1101", "-o", "json"])).out) as { items: { code: string }[] };
  assert.deepEqual(
    items.map(({ code }) => code),
    ["WF1101"],
  );
  const unknown = await run(["explain", "WF0000"]);
  assert.deepEqual([unknown.code, unknown.out], [1, ""]);
  assert.match((await run(["explain"])).out, /^WF1001 {2}.*\n(WF\d{4} {2}.*\n)+$/);
});

test("run refuses values before anything starts", async () => {
  const cases = [
    ["--name", "Bad Name"],
    ["--name", "a", "--protocol", "htpp"],
    ["--name", "a", "--labels", "version"],
    ["--name", "a", "--outbound", "nowhere"],
    ["--name", "a", "--service-port", "0"],
    ["--name", "a", "--port", "99999"],
  ];
  for (const flags of cases) {
    const { code, err } = await run(["run", ...flags, "--", "true"]);
    assert.equal(code, 2, flags.join(" "));
    assert.match(err, /^WF9022 /);
  }
});

test("a watch shows the service asked for, and says when the control plane ends it", async () => {
  const event = (service: string, namespace: string) => ({ type: "ADDED", object: { service, namespace } });
  const lines = [event("web", "a"), event("web", "b"), event("pay", "a")].map((each) => `${JSON.stringify(each)}\n`);
  const server = createServer((_request, response) => response.end(lines.join(""))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const argv = ["registry", "--watch", "--cp", `127.0.0.1:${(server.address() as AddressInfo).port}`];
  const all = await run(argv);
  assert.deepEqual([all.code, all.out], [4, lines.join("")]);
  assert.match(all.err, /^WF9030 the control plane at \S+ ended the watch\. Next: /);
  assert.equal((await run([...argv, "web", "-n", "b"])).out, lines[1]);
  assert.equal((await run([...argv, "pay.a"])).out, lines[2]);
  server.close();
});
