/** What can happen to the store that control planes share: live endpoints stay, and no answer promises what is not kept. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { runProgram } from "@weft/testkit/processes";
import { startRelay } from "../registries/relay.ts";
import { base64, type EtcdMember, startEtcdMembers } from "./etcd-members.ts";

const folder = makePrivateFolder("weft-store-faults-");
const file = (name: string): string => join(folder.path, name);
after(() => folder[Symbol.dispose]());
before(() => writeFileSync(file("store-key"), randomBytes(32).toString("base64")));

const startOver = (addresses: string, query = "", args: readonly string[] = []): Promise<TestControlPlane> =>
  startControlPlane({
    args: ["--store", `etcd://${addresses}/weft${query}`, "--store-key", file("store-key"), ...args],
  });

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const ask = async ({ http, adminTokenFile }: TestControlPlane, method: string, path: string, body?: object) => {
  const response = await fetch(`http://${http}${path}`, {
    method,
    headers: { authorization: `Bearer ${readFileSync(adminTokenFile, "utf8").trim()}` },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const { code = "", message = "" } = (await response.json()) as { code?: string; message?: string };
  return { status: response.status, code, message } satisfies Answer;
};
const put = (cp: TestControlPlane, service: string, port: number, ttlSeconds = 0): Promise<Answer> =>
  ask(cp, "PUT", `/v1/registry/${service}/instances/i${port}`, {
    ...{ address: "127.0.0.1", port, servicePort: 80, ttlSeconds },
  });
const ports = async (cp: TestControlPlane, service: string): Promise<readonly number[]> => {
  const { items } = (await cp.api("GET", `/v1/registry?service=${service}`)) as {
    items: readonly { name: string }[];
  };
  if (!items.some(({ name }) => name === service)) return [];
  const found = (await cp.api("GET", `/v1/registry/${service}/endpoints`)) as { items: readonly { port: number }[] };
  return found.items.map(({ port }) => port).sort();
};
const has = (cp: TestControlPlane, service: string, wanted: readonly number[]) =>
  eventually(`${service} is ${wanted}`, async () =>
    (await ports(cp, service)).join() === [...wanted].sort().join() ? true : undefined,
  );
const taken = (cp: TestControlPlane, service: string, port: number) =>
  eventually("changes are taken again", async () => ((await put(cp, service, port)).status < 300 ? true : undefined));

/** Registers without a pause until told to end; gives what was acknowledged, and every other answer has to be honest. */
const registering = (cps: readonly TestControlPlane[], service: string) => {
  const acknowledged: number[] = [];
  let running = true;
  const work = async (): Promise<void> => {
    for (let port = 7001; running && port < 7999; port++) {
      const answer = await put(cps[port % cps.length] as TestControlPlane, service, port);
      if (answer.status === 201) acknowledged.push(port);
      else assert.deepEqual([answer.status, answer.code], [503, "WF2202"]);
      // Those written before never vanish meanwhile.
      const seen = await ports(cps[0] as TestControlPlane, service);
      if (acknowledged.length > 0) assert.ok(seen.length > 0, "all of them vanished");
    }
  };
  const working = work();
  return {
    acknowledged,
    more: (count: number) => {
      const until = acknowledged.length + count;
      return eventually("more are registered", () => (acknowledged.length >= until ? true : undefined), 20_000);
    },
    end: async () => {
      running = false;
      await working;
    },
  };
};

test("the leader of three members is killed under writes and comes back: nothing acknowledged is lost", async () => {
  await using etcd = await startEtcdMembers({
    members: 3,
    args: ["--heartbeat-interval", "50", "--election-timeout", "500"],
  });
  await using one = await startOver(etcd.addresses);
  await using two = await startOver(etcd.addresses);
  const writes = registering([one, two], "many");
  await writes.more(5);
  for (let round = 0; round < 2; round++) {
    const leader = await etcd.leader();
    await leader.kill();
    await writes.more(5);
    await leader.restart();
    await writes.more(5);
  }
  await writes.end();
  for (const cp of [one, two])
    await eventually("everything acknowledged is there", async () => {
      const seen = new Set(await ports(cp, "many"));
      return writes.acknowledged.every((port) => seen.has(port)) ? true : undefined;
    });
  assert.deepEqual(await ports(one, "many"), await ports(two, "many"));
});

test("the only member stands still: changes are refused in time, reading goes on, and afterwards all is as it was", async () => {
  await using etcd = await startEtcdMembers();
  const [member] = etcd.all;
  await using cp = await startOver(etcd.addresses);
  assert.equal((await put(cp, "shop", 7001)).status, 201);
  assert.equal((await put(cp, "shop", 7002, 5)).status, 201);
  member.signal("SIGSTOP");
  // Asked while nobody knows yet, and when the silence was noticed.
  for (const port of [7003, 7004]) {
    const answer = await put(cp, "shop", port);
    assert.deepEqual([answer.status, answer.code], [503, "WF2202"]);
    assert.ok((await ports(cp, "shop")).includes(7001));
  }
  assert.ok((await ports(cp, "shop")).includes(7002), "nobody could renew it");
  member.signal("SIGCONT");
  await taken(cp, "shop", 7005);
  const seen = await ports(cp, "shop");
  assert.ok(seen.includes(7001) && seen.includes(7005), seen.join());
});

test("history is compacted while a replica is cut off: it reads everything anew and misses nothing", async () => {
  await using etcd = await startEtcdMembers();
  const [member] = etcd.all;
  await using way = await startRelay(member.address);
  await using one = await startOver(way.address);
  await using two = await startOver(member.address);
  await put(two, "shop", 7001);
  await put(two, "shop", 7002);
  await has(one, "shop", [7001, 7002]);
  way.cut();
  await eventually("it is away", async () => ((await put(one, "shop", 7009)).status === 503 ? true : undefined));
  await put(two, "shop", 7003);
  await ask(two, "DELETE", "/v1/registry/shop/instances/i7001");
  const { header } = (await member.call("kv/range", { key: base64("x") })) as { header: { revision: string } };
  await member.call("kv/compaction", { revision: header.revision, physical: true });
  assert.deepEqual(await ports(one, "shop"), [7001, 7002]);
  way.mend();
  await has(one, "shop", [7002, 7003]);
});

/** Writes outside of ours until etcd takes no more. */
const fill = async (member: EtcdMember): Promise<void> => {
  const value = base64("x".repeat(200_000));
  for (let i = 0; i < 200; i++) {
    try {
      await member.call("kv/put", { key: base64(`junk/${i}`), value });
    } catch {
      return;
    }
  }
  throw new Error("etcd takes everything");
};

test("etcd is full: changes are refused, what there is stays and can be renewed; with room again they are taken", async () => {
  await using etcd = await startEtcdMembers({ args: ["--quota-backend-bytes", String(8 * 1024 * 1024)] });
  const [member] = etcd.all;
  await using cp = await startOver(etcd.addresses);
  assert.equal((await put(cp, "shop", 7001, 5)).status, 201);
  assert.equal((await put(cp, "shop", 7002)).status, 201);
  await fill(member);
  const refused = await put(cp, "shop", 7003);
  assert.deepEqual([refused.status, refused.code], [503, "WF2202"]);
  assert.match(refused.message, /space/);
  const spec = { hosts: ["x.example"], ports: [{ number: 80, name: "http", protocol: "HTTP" }], resolution: "DNS" };
  const entry = { apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "x" }, spec };
  assert.equal((await ask(cp, "POST", "/v1/config/apply", entry)).status, 503);
  assert.equal((await ask(cp, "POST", "/v1/tokens", {})).status, 503);
  assert.equal((await ask(cp, "POST", "/v1/registry/shop/instances/i7001/heartbeat")).status, 200);
  assert.deepEqual(await ports(cp, "shop"), [7001, 7002]);
  // What is taken away makes room, so that is still done.
  assert.equal((await ask(cp, "DELETE", "/v1/registry/shop/instances/i7002")).status, 200);
  await member.call("kv/deleterange", { key: base64("junk/"), range_end: base64("junk0") });
  const { header } = (await member.call("kv/range", { key: base64("x") })) as { header: { revision: string } };
  await member.call("kv/compaction", { revision: header.revision, physical: true });
  await member.call("maintenance/defragment", {});
  const { header: own } = (await member.call("maintenance/status", {})) as { header: { member_id: string } };
  await member.call("maintenance/alarm", { action: "DEACTIVATE", memberID: own.member_id, alarm: "NOSPACE" });
  await taken(cp, "shop", 7004);
});

test("a control plane that ran alone takes what it had into a new store, and nothing into one that is in use", async () => {
  await using etcd = await startEtcdMembers();
  const entry = (host: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: mine}
spec: {hosts: [${host}], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
`;
  const alone = async (name: string, port: number, host: string): Promise<void> => {
    await using cp = await startControlPlane({ folder: file(name) });
    assert.equal((await put(cp, "shop", port, 30)).status, 201);
    await cp.apply(entry(host));
  };
  await alone("first", 7001, "first.example");
  await alone("second", 7002, "second.example");
  const hostsOf = async (cp: TestControlPlane): Promise<string> => JSON.stringify(await cp.api("GET", "/v1/config"));
  const shared = ["--store", `etcd://${etcd.addresses}/weft`, "--store-key", file("store-key")];
  await using one = await startControlPlane({ folder: file("first"), args: shared });
  assert.deepEqual(await ports(one, "shop"), [7001]);
  await using two = await startControlPlane({ folder: file("second"), args: shared });
  for (const cp of [one, two]) {
    await has(cp, "shop", [7001]);
    assert.match(await hostsOf(cp), /first\.example/);
    assert.doesNotMatch(await hostsOf(cp), /second\.example/);
  }
  assert.equal((await ask(two, "POST", "/v1/registry/shop/instances/i7001/heartbeat")).status, 200);
});

const openssl = async (...args: readonly string[]): Promise<void> => {
  const { code, stderr } = await runProgram("openssl", args);
  assert.equal(code, 0, stderr);
};

/** A root, and what it signs for the server and for a client. */
const makeCertificates = async (): Promise<void> => {
  const request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  await openssl(...request, "-x509", "-subj", "/CN=root", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  const signer = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days", "1"];
  for (const name of ["server", "client"]) {
    await openssl(...request, "-subj", `/CN=${name}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.csr`));
    writeFileSync(file("ext"), "subjectAltName=IP:127.0.0.1\n");
    const sign = ["x509", "-req", "-in", file(`${name}.csr`), "-out", file(`${name}.pem`), "-extfile", file("ext")];
    await openssl(...sign, ...signer);
  }
};

test("etcd wants client certificates and a user who may change weft's keys only", async () => {
  await makeCertificates();
  const tls = [
    "--cert-file",
    file("server.pem"),
    "--key-file",
    file("server.key"),
    "--trusted-ca-file",
    file("ca.pem"),
  ];
  await using etcd = await startEtcdMembers({ secure: true, args: [...tls, "--client-cert-auth"] });
  const [member] = etcd.all;
  for (const name of ["root", "weft"]) {
    await member.call("auth/user/add", { name, password: `${name}-secret` });
    await member.call("auth/role/add", { name });
    await member.call("auth/user/grant", { user: name, role: name });
  }
  const perm = { permType: "READWRITE", key: base64("/weft/"), range_end: base64("/weft0") };
  await member.call("auth/role/grant", { name: "weft", perm });
  await member.call("auth/enable", {});
  const query = (client: boolean): string =>
    `?ca=${file("ca.pem")}${client ? `&cert=${file("client.pem")}&key=${file("client.key")}` : ""}`;
  writeFileSync(file("user"), "weft:weft-secret");
  const user = ["--store-credentials", file("user")];
  await using one = await startOver(etcd.addresses, query(true), user);
  await using two = await startOver(etcd.addresses, query(true), user);
  assert.equal((await put(one, "shop", 7001, 5)).status, 201);
  assert.equal((await ask(one, "POST", "/v1/registry/shop/instances/i7001/heartbeat")).status, 200);
  await has(two, "shop", [7001]);
  const { token } = (await two.api("POST", "/v1/tokens", {})) as { token: string };
  assert.match(token, /^weft\./);
  assert.equal((await ask(two, "DELETE", "/v1/registry/shop/instances/i7001")).status, 200);
  await has(one, "shop", []);
});
