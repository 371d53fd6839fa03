/** Names of a program that knows nothing of the mesh: its questions go to the sidecar, its calls to what that answers. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { answering, startFakeDns } from "@weft/proxy/dns/testing/fake-dns";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { createNetworkNamespace } from "@weft/testkit/network-namespace";
import { weftEntry } from "@weft/testkit/processes";
import { asProxyUser, proxyFolder } from "./proxy-user.ts";

const external = (address: string, port: number): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external}
spec:
  hosts: [external.example]
  ports: [{number: 8080, name: http, protocol: HTTP, targetPort: ${port}}]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [{address: ${address}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: external}
spec:
  hosts: [external.example]
  http:
    - route: [{destination: {host: external.example}}]
      headers: {request: {set: {x-through: mesh}}}
`;

/** Prints what the machine's resolver says, by both ways there are to ask it. */
const lookUp = `
const dns = require("node:dns").promises;
Promise.allSettled([dns.resolve4(process.argv[1]), dns.resolve6(process.argv[1]), dns.lookup(process.argv[1])])
  .then((all) => console.log(JSON.stringify(all.map((one) => one.value ?? one.reason.code))));
`;

test("an intercepted program's names are the mesh's, and others are asked for where they were", {
  timeout: 85_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const net = stack.use(createNetworkNamespace());
  const [world] = net.outside.ipv4;
  // Made-up addresses are dialled like any other: there must be a way out, although nothing ever takes it.
  for (const [family, gateway] of [
    ["-4", world],
    ["-6", net.outside.ipv6],
  ] as const)
    assert.equal((await net.run("ip", [family, "route", "add", "default", "via", gateway])).code, 0);
  // What a namespace has under this path stands where the machine's own file stands.
  const etc = join("/etc/netns", net.name);
  mkdirSync(etc, { recursive: true });
  stack.defer(() => rmSync(etc, { recursive: true, force: true }));
  writeFileSync(join(etc, "resolv.conf"), `nameserver ${world}\n`);
  const upstream = stack.use(
    await startFakeDns(answering({ "else.example": ["192.0.2.200"], "external.example": ["192.0.2.66"] }), {
      host: world,
      port: 53,
    }),
  );
  const outside = stack.use(await startEchoServer("external", 0, world));
  const free = async (): Promise<string> => `${world}:${await findFreePort(world, 0)}`;
  const cp = stack.use(
    await startControlPlane({
      yaml: external(world, outside.port),
      addresses: { xds: "127.0.0.1:0", secure: await free(), http: "127.0.0.1:0" },
    }),
  );
  const folder = proxyFolder(stack, cp);
  const sidecar = stack.use(
    net.start("setpriv", [
      ...asProxyUser,
      ...[process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar"],
      ...["--cp", cp.secure, "--root-cert", join(folder, "root-cert.pem"), "--token-file", join(folder, "join-token")],
      ...["--name", "app", "--ip", net.inside.ipv4, "--interception", "REDIRECT", "--admin", "127.0.0.1:15000"],
      ...["--outbound", "127.0.0.1:15001", "--data", join(folder, "data"), "--dns"],
    ]),
  );
  await sidecar.waitFor(/\bready\b.*dns=127\.0\.0\.1:15053/);
  const run = (...args: string[]) => net.run(process.execPath, args);
  const found = async (name: string): Promise<readonly unknown[]> =>
    JSON.parse((await run("-e", lookUp, name)).stdout) as unknown[];
  assert.deepEqual((await found("external.example"))[0], ["192.0.2.66"], "before, names are the world's");

  for (const again of [1, 2]) {
    const { code, stderr } = await run(weftEntry, "intercept", "apply", "--dns");
    assert.equal(code, 0, `${again}: ${stderr}`);
  }
  const verified = await run(weftEntry, "intercept", "verify", "--dns");
  assert.equal(verified.code, 0, verified.stdout);
  assert.equal((await run(weftEntry, "intercept", "verify")).code, 3, "without --dns these are not the rules");

  const [v4, v6, looked] = (await found("external.example")) as [string[], string[], { address: string }];
  assert.match(v4[0] ?? "", /^240\.240\./);
  assert.match(v6[0] ?? "", /^2001:2::/);
  assert.ok([v4[0], v6[0]].includes(looked.address));
  assert.deepEqual((await found("else.example")).slice(0, 2), [["192.0.2.200"], "ENODATA"]);
  assert.equal((await found("none.example"))[0], "ENOTFOUND");
  assert.ok(
    upstream.asked.some(({ name }) => name === "else.example"),
    "the sidecar's own questions reach the server",
  );

  // By name alone: the address is one that only the sidecar knows what to do with.
  for (const family of ["-4", "-6"]) {
    const url = "http://external.example:8080/";
    const call = await net.run("curl", ["-sS", "-m", "10", "--noproxy", "*", family, url]);
    assert.equal(call.code, 0, `${family}: ${call.stderr}`);
    const answer = JSON.parse(call.stdout) as { name: string; headers: Record<string, string> };
    assert.deepEqual([answer.name, answer.headers["x-through"]], ["external", "mesh"]);
  }
  assert.equal((await run(weftEntry, "intercept", "apply")).code, 0);
  assert.deepEqual((await found("external.example"))[0], ["192.0.2.66"], "without --dns names are the world's again");
  assert.equal((await run(weftEntry, "intercept", "remove")).code, 0);
  const { stdout } = await net.run("iptables-save", []);
  assert.doesNotMatch(stdout, /WEFT/);
});
