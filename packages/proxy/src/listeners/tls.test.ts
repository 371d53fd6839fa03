import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import { any } from "@weft/xds/resource";
import { createTestCa } from "../identity/testing/test-ca.ts";
import type { ResourceChange } from "../runtime/data-plane.ts";
import {
  cluster,
  hcm,
  listener,
  openPlane,
  openServer,
  routes,
  tcpProxy,
  toCluster,
} from "../runtime/testing/test-plane.ts";

const now = Date.now();
const hour = 3_600_000;
const valid = { notBeforeMs: now - hour, notAfterMs: now + hour };
const ca = createTestCa(now);
const otherCa = createTestCa(now);
const uriOf = (account: string): string => `spiffe://cluster.local/ns/default/sa/${account}`;
const identity = (account: string, from = ca) => {
  const { keyPem, chain } = from.issue({ ...valid, uri: uriOf(account) });
  return { key: keyPem, cert: chain.join("") };
};

const secrets = (account: string): ResourceChange[] => {
  const { key, cert } = identity(account);
  return [
    {
      kind: "secret",
      name: "default",
      json: {
        name: "default",
        tlsCertificate: { certificateChain: { inlineString: cert }, privateKey: { inlineString: key } },
      },
    },
    {
      kind: "secret",
      name: "ROOTCA",
      json: { name: "ROOTCA", validationContext: { trustedCa: { inlineString: ca.rootPem } } },
    },
  ];
};

const tlsPrefix = "envoy.extensions.transport_sockets.tls.v3";
const common = (fields: object = {}) => ({
  tlsCertificateSdsSecretConfigs: [{ name: "default", sdsConfig: { ads: {} } }],
  combinedValidationContext: {
    defaultValidationContext: {},
    validationContextSdsSecretConfig: { name: "ROOTCA", sdsConfig: { ads: {} } },
  },
  ...fields,
});
const serverTls = (alpnProtocols: string[]) => ({
  name: "envoy.transport_sockets.tls",
  typedConfig: any(`${tlsPrefix}.DownstreamTlsContext`, {
    commonTlsContext: common({ alpnProtocols }),
    requireClientCertificate: true,
  }),
});
const clientTls = (account: string) => ({
  transportSocket: {
    name: "envoy.transport_sockets.tls",
    typedConfig: any(`${tlsPrefix}.UpstreamTlsContext`, {
      sni: "outbound_.80_._.app.default.svc.cluster.local",
      commonTlsContext: common({
        alpnProtocols: ["istio"],
        combinedValidationContext: {
          defaultValidationContext: {
            matchTypedSubjectAltNames: [{ sanType: "URI", matcher: { exact: uriOf(account) } }],
          },
          validationContextSdsSecretConfig: { name: "ROOTCA", sdsConfig: { ads: {} } },
        },
      }),
    }),
  },
});

const inspectors = {
  listenerFilters: [
    {
      name: "envoy.filters.listener.tls_inspector",
      typedConfig: any("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", {}),
    },
  ],
};

const xfcc = {
  forwardClientCertDetails: "APPEND_FORWARD",
  setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
};

/** An HTTP server that answers with the header it was sent. */
const openApp = () =>
  openServer((socket) => {
    socket.on("data", (bytes) => {
      const found = /x-forwarded-client-cert: (.*)\r\n/.exec(bytes.toString())?.[1] ?? "none";
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${found.length}\r\n\r\n${found}`);
    });
    socket.on("end", () => socket.end());
  });

/** A sidecar as PERMISSIVE makes it: mesh TLS by its ALPN, plaintext beside it. */
const openPermissive = async (appPort: number) => {
  const all = openPlane();
  await all.put(
    ...secrets("app"),
    cluster("app", [appPort]),
    routes([toCluster("app")]),
    listener("in", [hcm()], {
      ...inspectors,
      filterChains: [
        {
          name: "mesh",
          filterChainMatch: { transportProtocol: "tls", applicationProtocols: ["istio", "istio-http/1.1"] },
          transportSocket: serverTls(["istio", "istio-http/1.1"]),
          filters: [hcm(xfcc)],
        },
        { name: "plain", filterChainMatch: { transportProtocol: "raw_buffer" }, filters: [hcm(xfcc)] },
      ],
    }),
  );
  return all;
};

const logTransportFailure = {
  accessLog: [
    {
      name: "log",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path: "/dev/stdout",
        logFormat: {
          textFormatSource: { inlineString: "%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n" },
        },
      },
    },
  ],
};

/** A ClientHello as a client of this Node makes it. */
const helloOf = async (servername: string): Promise<Buffer> => {
  const got = Promise.withResolvers<Buffer>();
  await using server = await openServer((socket) => {
    socket.once("data", (bytes: Buffer) => got.resolve(bytes));
  });
  connect({ host: "127.0.0.1", port: server.port, servername }).on("error", () => {});
  return await got.promise;
};

const get = "GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";

/** Everything that comes back, or the error's code. */
const askTls = async (port: number, options: ConnectionOptions): Promise<string> => {
  const socket = connect({ host: "127.0.0.1", port, ca: ca.rootPem, checkServerIdentity: () => undefined, ...options });
  let got = "";
  let failure = "";
  socket.on("data", (bytes) => {
    got += bytes.toString();
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    failure = error.code ?? error.message;
  });
  socket.once("secureConnect", () => socket.write(get));
  await new Promise((resolve) => socket.once("close", resolve));
  return got || failure || "closed";
};

test("mesh TLS and plaintext are told apart at one port, and the client's identity reaches the application", async () => {
  await using app = await openApp();
  await using all = await openPermissive(app.port);
  const port = all.portOf("in");
  const answer = await askTls(port, { ...identity("web"), ALPNProtocols: ["istio-http/1.1", "istio"] });
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
  assert.match(answer, new RegExp(`By=${uriOf("app")};Hash=[0-9a-f]{64};Subject="";URI=${uriOf("web")}`));
  const plain = connectPlain({ host: "127.0.0.1", port });
  plain.write(get);
  const [bytes] = await once(plain, "data");
  assert.match(String(bytes), /none$/);
  plain.destroy();
});

test("a TLS chain chooses by ALPN and knows the server name where no inspector read the hello", async () => {
  await using app = await openApp();
  await using all = openPlane();
  await all.put(
    ...secrets("app"),
    cluster("app", [app.port]),
    routes([toCluster("app")]),
    listener("in", [], { filterChains: [{ transportSocket: serverTls(["h2", "http/1.1"]), filters: [hcm()] }] }),
  );
  const handshake = async (offered: string[]): Promise<string | false | null> => {
    const ALPNProtocols = offered.length === 0 ? undefined : { ALPNProtocols: offered };
    const options = { host: "127.0.0.1", port: all.portOf("in"), ca: ca.rootPem, ...identity("web"), ...ALPNProtocols };
    const socket = connect({ ...options, checkServerIdentity: () => undefined });
    await once(socket, "secureConnect");
    socket.destroy();
    return socket.alpnProtocol;
  };
  assert.equal(await handshake(["http/1.1", "h2"]), "h2", "the server's order decides");
  assert.equal(await handshake(["http/1.1"]), "http/1.1");
  assert.equal(await handshake(["spdy/3"]), false, "nothing in common is no reason to refuse");
  assert.equal(await handshake([]), false);
  assert.match(await askTls(all.portOf("in"), identity("web")), /^HTTP\/1\.1 200 OK/);
});

test("a client without a certificate, or with one of another root, is not served", async () => {
  await using app = await openApp();
  await using all = await openPermissive(app.port);
  const port = all.portOf("in");
  for (const given of [{}, identity("web", otherCa)]) {
    const answer = await askTls(port, { ...given, ALPNProtocols: ["istio"] });
    assert.doesNotMatch(answer, /HTTP/);
  }
  const expired = ca.issue({ notBeforeMs: now - 2 * hour, notAfterMs: now - hour, uri: uriOf("web") });
  const late = await askTls(port, { key: expired.keyPem, cert: expired.chain.join(""), ALPNProtocols: ["istio"] });
  assert.doesNotMatch(late, /HTTP/);
});

test("TLS that no chain takes, half a hello and silence each end without disturbing the rest", async () => {
  await using app = await openApp();
  await using all = await openPermissive(app.port);
  const port = all.portOf("in");
  assert.doesNotMatch(await askTls(port, { ...identity("web"), ALPNProtocols: ["h2"] }), /HTTP/);
  const half = connectPlain({ host: "127.0.0.1", port });
  half.on("error", () => {});
  half.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]));
  half.end();
  await new Promise((resolve) => half.once("close", resolve));
  assert.match(await askTls(port, { ...identity("web"), ALPNProtocols: ["istio"] }), /^HTTP\/1\.1 200/);
});

test("a pair of sidecars speaks mutual TLS, and refuses a server of another name", async () => {
  await using app = await openApp();
  await using server = await openPermissive(app.port);
  await using client = openPlane();
  await client.put(
    ...secrets("web"),
    cluster("good", [server.portOf("in")], clientTls("app")),
    cluster("wrong", [server.portOf("in")], clientTls("somebody")),
    routes([
      {
        name: "v",
        domains: ["*"],
        routes: [
          { match: { prefix: "/wrong" }, route: { cluster: "wrong" } },
          { match: { prefix: "/" }, route: { cluster: "good" } },
        ],
      },
    ]),
    listener("out", [hcm(logTransportFailure)]),
  );
  const ask = async (path: string): Promise<string> => {
    const socket = connectPlain({ host: "127.0.0.1", port: client.portOf("out") });
    socket.write(get.replace("GET /", `GET ${path}`));
    let got = "";
    socket.on("data", (bytes) => {
      got += bytes.toString();
    });
    await once(socket, "close");
    return got;
  };
  assert.match(await ask("/good"), new RegExp(`200 OK[\\s\\S]*URI=${uriOf("web")}$`));
  assert.match(await ask("/wrong"), /^HTTP\/1\.1 503 /);
  assert.match(client.logLines.at(-1) ?? "", /^UF TLS_error:verify_SAN_list/);
});

test("a new certificate serves new handshakes, and connections that stand go on", async () => {
  await using app = await openApp();
  await using all = await openPermissive(app.port);
  const port = all.portOf("in");
  const open = async () => {
    const socket = connect({
      host: "127.0.0.1",
      port,
      ca: ca.rootPem,
      checkServerIdentity: () => undefined,
      ...identity("web"),
      ALPNProtocols: ["istio"],
    });
    await once(socket, "secureConnect");
    return socket;
  };
  const old = await open();
  await all.put(...secrets("renewed"));
  const fresh = await open();
  assert.equal(old.getPeerCertificate().subjectaltname, `URI:${uriOf("app")}`);
  assert.equal(fresh.getPeerCertificate().subjectaltname, `URI:${uriOf("renewed")}`);
  old.write(get);
  const [bytes] = await once(old, "data");
  assert.match(String(bytes), /^HTTP\/1\.1 200/);
  old.destroy();
  fresh.destroy();
});

test("a secret that is no key pair is refused, and the last good one stays", async () => {
  await using app = await openApp();
  await using all = await openPermissive(app.port);
  const [rejection] = all.plane.apply([
    {
      kind: "secret",
      name: "default",
      json: {
        name: "default",
        tlsCertificate: { certificateChain: { inlineString: "no" }, privateKey: { inlineString: "no" } },
      },
    },
  ]);
  assert.match(rejection?.reason ?? "", /^tlsCertificate: /);
  const answer = await askTls(all.portOf("in"), { ...identity("web"), ALPNProtocols: ["istio"] });
  assert.match(answer, /^HTTP\/1\.1 200/);
});

test("roots that turn out to be a certificate let nobody in, rather than everybody", async () => {
  await using app = await openApp();
  await using all = await openPermissive(app.port);
  const [keys] = secrets("app");
  const json = { ...(keys as { readonly json: object }).json, name: "ROOTCA" };
  assert.deepEqual(all.plane.apply([{ kind: "secret", name: "ROOTCA", json }]), []);
  for (const from of [ca, otherCa])
    assert.doesNotMatch(
      await askTls(all.portOf("in"), { ...identity("web", from), ALPNProtocols: ["istio"] }).catch(String),
      /HTTP\/1\.1 200/,
    );
});

test("TLS passes through by its server name", async () => {
  const reached: string[] = [];
  const arrival = { next: Promise.withResolvers<void>() };
  const server = (name: string) =>
    openServer((socket) => {
      socket.once("data", () => {
        reached.push(name);
        socket.destroy();
        arrival.next.resolve();
      });
    });
  await using one = await server("one");
  await using two = await server("two");
  await using all = openPlane();
  await all.put(
    cluster("one", [one.port]),
    cluster("two", [two.port]),
    listener("in", [], {
      ...inspectors,
      filterChains: [
        { filterChainMatch: { serverNames: ["one.example"] }, filters: [tcpProxy({ cluster: "one" })] },
        { filterChainMatch: { serverNames: ["*.example"] }, filters: [tcpProxy({ cluster: "two" })] },
      ],
    }),
  );
  for (const servername of ["one.example", "other.example"]) {
    const socket = connect({ host: "127.0.0.1", port: all.portOf("in"), servername, rejectUnauthorized: false });
    socket.on("error", () => {});
    await arrival.next.promise;
    arrival.next = Promise.withResolvers();
    socket.destroy();
  }
  assert.deepEqual(reached, ["one", "two"]);
});

test("TLS passes through by what the client offers by ALPN, after its server name", async () => {
  const reached: string[] = [];
  const server = (name: string) =>
    openServer((socket) => {
      socket.once("data", () => {
        reached.push(name);
        socket.destroy();
      });
    });
  await using database = await server("database");
  await using web = await server("web");
  await using rest = await server("rest");
  await using all = openPlane();
  const to = (name: string, filterChainMatch: object) => ({ filterChainMatch, filters: [tcpProxy({ cluster: name })] });
  await all.put(
    cluster("database", [database.port]),
    cluster("web", [web.port]),
    cluster("rest", [rest.port]),
    listener("in", [], {
      ...inspectors,
      filterChains: [
        to("database", { serverNames: ["a.example"], applicationProtocols: ["postgresql"] }),
        to("web", { serverNames: ["a.example"], applicationProtocols: ["h2", "http/1.1"] }),
        to("rest", { serverNames: ["a.example"] }),
      ],
    }),
  );
  for (const ALPNProtocols of [["postgresql"], ["http/1.1", "h2"], ["other"], undefined]) {
    const socket = connect({
      host: "127.0.0.1",
      port: all.portOf("in"),
      servername: "a.example",
      rejectUnauthorized: false,
      ...(ALPNProtocols ? { ALPNProtocols } : {}),
    });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("close", resolve));
  }
  assert.deepEqual(reached, ["database", "web", "rest", "rest"]);
});

test("a client certificate proves one workload of our trust domain, or nothing", async () => {
  await using app = await openApp();
  await using all = openPlane();
  const ours = { matchTypedSubjectAltNames: [{ sanType: "URI", matcher: { prefix: "spiffe://cluster.local/" } }] };
  const socketOf = (tlsParams: object) => ({
    name: "envoy.transport_sockets.tls",
    typedConfig: any(`${tlsPrefix}.DownstreamTlsContext`, {
      requireClientCertificate: true,
      disableStatelessSessionResumption: true,
      commonTlsContext: common({
        tlsParams,
        combinedValidationContext: {
          defaultValidationContext: ours,
          validationContextSdsSecretConfig: { name: "ROOTCA", sdsConfig: { ads: {} } },
        },
      }),
    }),
  });
  const only12 = { tlsMaximumProtocolVersion: "TLSv1_2", cipherSuites: ["[ECDHE-ECDSA-AES128-GCM-SHA256|NONE]"] };
  const [refused] = all.plane.apply([
    listener("in", [], { filterChains: [{ transportSocket: socketOf(only12), filters: [hcm()] }] }),
  ]);
  assert.match(refused?.reason ?? "", /tlsParams: no cipher is called NONE/);
  await all.put(
    ...secrets("app"),
    cluster("app", [app.port]),
    routes([toCluster("app")]),
    listener("in", [], {
      ...inspectors,
      filterChains: [{ transportSocket: socketOf({ ...only12, cipherSuites: [] }), filters: [hcm()] }],
    }),
  );
  const ask = (uri: string, options: ConnectionOptions = {}) => {
    const { keyPem, chain } = ca.issue({ ...valid, uri });
    return askTls(all.portOf("in"), { key: keyPem, cert: chain.join(""), ...options });
  };
  assert.match(await ask(uriOf("web")), /^HTTP\/1\.1 200/);
  assert.doesNotMatch(await ask(uriOf("web"), { minVersion: "TLSv1.3" }), /HTTP/, "the configured version holds");
  for (const uri of [
    "spiffe://cluster.local.evil/ns/default/sa/web",
    "spiffe://other/ns/default/sa/web",
    "spiffe://cluster.local/ns/default/sa/web\0",
    "spiffe://cluster.local",
    "https://cluster.local/ns/default/sa/web",
  ])
    assert.doesNotMatch(await ask(uri), /HTTP/, JSON.stringify(uri));
});

test("files of keys and roots that are not there, or are none, are refused with their names", async () => {
  await using all = openPlane({
    readText: (path) => {
      if (path === "/roots.pem") return ca.rootPem;
      if (path === "/nonsense.pem") return "nonsense";
      throw new Error(`ENOENT: no such file or directory, open '${path}'`);
    },
  });
  const tlsTo = (filename: string) => ({
    transportSocket: {
      name: "envoy.transport_sockets.tls",
      typedConfig: any(`${tlsPrefix}.UpstreamTlsContext`, {
        sni: "a",
        commonTlsContext: { validationContext: { trustedCa: { filename } } },
      }),
    },
  });
  assert.deepEqual(all.plane.apply([cluster("a", [1], tlsTo("/roots.pem"))]), []);
  const [missing] = all.plane.apply([cluster("a", [1], tlsTo("/gone/ca.pem"))]);
  assert.match(missing?.reason ?? "", /^transportSocket: ENOENT.*\/gone\/ca\.pem/);
  const matches = { transportSocketMatches: [{ name: "tls", match: {}, ...tlsTo("/gone/ca.pem") }] };
  const [within] = all.plane.apply([cluster("a", [1], matches)]);
  assert.match(within?.reason ?? "", /^transportSocketMatches\[0\]\.transportSocket: ENOENT/);
  assert.deepEqual(all.plane.apply([cluster("a", [1], tlsTo("/etc/ssl/certs/ca-certificates.crt"))]), []);
});

test("a server name made to break a log line reaches neither the log nor the metrics, and a proper one is logged", async () => {
  await using server = await openServer((socket) => socket.once("data", () => socket.destroy()));
  await using all = openPlane();
  const accessLog = [
    {
      name: "log",
      typedConfig: any("envoy.extensions.access_loggers.file.v3.FileAccessLog", {
        path: "/dev/stdout",
        logFormat: { jsonFormat: { sni: "%REQUESTED_SERVER_NAME%" } },
      }),
    },
  ];
  await all.put(cluster("any", [server.port]), listener("in", [tcpProxy({ cluster: "any", accessLog })], inspectors));
  const hello = await helloOf("shop.example");
  const at = hello.indexOf("shop.example");
  const bad = ['a\r\nb"} x\u001b[', "a\0\0\0\0\0\0\0\0\0\0\0", "\xff\xfe\xfd{}\\\\'\"%s", "shop.example"];
  for (const name of bad) {
    const bytes = Buffer.from(hello);
    bytes.write(name.padEnd(12, "\n").slice(0, 12), at, "latin1");
    const socket = connectPlain({ host: "127.0.0.1", port: all.portOf("in") });
    socket.on("error", () => {});
    socket.write(bytes);
    await new Promise((resolve) => socket.once("close", resolve));
  }
  await all.plane.close();
  const lines = all.logLines.join("").split("\n").filter(Boolean);
  assert.equal(lines.length, bad.length);
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { readonly sni: string | null }).sni),
    [null, null, null, "shop.example"],
  );
  for (const { name, labels } of all.stats.series()) {
    assert.match([name, ...labels.flat()].join(" "), /^[\x20-\x7e]*$/);
  }
});
