/** The proxies under test: weft and Envoy on the same bootstrap, one worker each, and plain proxies beside them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { type Program, startProgram, weftEntry } from "@weft/testkit/processes";
import { envoyPath } from "../e2e/install-peers.ts";
import type { System } from "./measure.ts";
import { answers, startNginx, type Workshop } from "./peers.ts";
import { pin, systemCore } from "./process-usage.ts";

export type ProxyName = "weft" | "envoy";
export const bothProxies: readonly ProxyName[] = ["weft", "envoy"];

const startOne = (workshop: Workshop, name: ProxyName, file: string): Program =>
  workshop.own(
    name === "weft"
      ? startProgram(process.execPath, [
          "--disable-warning=ExperimentalWarning",
          "--max-semi-space-size=4",
          weftEntry,
          "sidecar",
          "--bootstrap",
          file,
        ])
      : startProgram(envoyPath, ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]),
  );

export type MakeBootstrap = (listenPort: number, adminPort: number, name: ProxyName) => object;

/** One proxy on a bootstrap; it has the systems' core once `check` finds it serving. */
export const startProxy = async (
  workshop: Workshop,
  { proxy, name = proxy, bootstrap }: { proxy: ProxyName; name?: string; bootstrap: MakeBootstrap },
  check: (address: string) => Promise<unknown> = answers,
): Promise<System> => {
  const port = await findFreePort("127.0.0.1", 0);
  const file = join(workshop.folder, `${name.replaceAll(/\W+/g, "-")}-${port}.json`);
  writeFileSync(file, JSON.stringify(bootstrap(port, await findFreePort("127.0.0.1", 0), proxy)));
  const program = startOne(workshop, proxy, file);
  const address = `127.0.0.1:${port}`;
  await check(address);
  pin(program.pid, systemCore);
  return { name, pids: [program.pid], address };
};

/** Runs both proxies on the same bootstrap but for its ports. */
export const startProxies = async (
  workshop: Workshop,
  bootstrap: MakeBootstrap,
  check?: (address: string) => Promise<unknown>,
): Promise<readonly System[]> => {
  const systems: System[] = [];
  for (const proxy of bothProxies) systems.push(await startProxy(workshop, { proxy, bootstrap }, check));
  return systems;
};

/** nginx as a proxy of the same upstreams. */
export const startNginxProxy = async (workshop: Workshop, upstreams: readonly number[]): Promise<System> => {
  const port = await findFreePort("127.0.0.1", 0);
  const servers = upstreams.map((upstream) => `server 127.0.0.1:${upstream};`).join(" ");
  const program = await startNginx(
    workshop,
    "nginx-proxy",
    `upstream up { least_conn; ${servers} keepalive 256; keepalive_requests 100000000; }
server { listen 127.0.0.1:${port}; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
    systemCore,
  );
  await answers(`127.0.0.1:${port}`);
  return { name: "nginx", pids: [program.pid], address: `127.0.0.1:${port}` };
};

/** HAProxy, one thread, least connections. */
export const startHaproxy = async (workshop: Workshop, upstreams: readonly number[]): Promise<System> => {
  const port = await findFreePort("127.0.0.1", 0);
  const file = join(workshop.folder, "haproxy.cfg");
  const servers = upstreams.map((upstream, at) => `  server s${at} 127.0.0.1:${upstream}`).join("\n");
  writeFileSync(
    file,
    `global
  maxconn 8192
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend in
  bind 127.0.0.1:${port}
  default_backend up
backend up
  balance leastconn
${servers}
`,
  );
  const program = workshop.own(startProgram("haproxy", ["-db", "-f", file]));
  await answers(`127.0.0.1:${port}`);
  pin(program.pid, systemCore);
  return { name: "haproxy", pids: [program.pid], address: `127.0.0.1:${port}` };
};

/** Caddy's reverse proxy, one processor. */
export const startCaddy = async (workshop: Workshop, upstreams: readonly number[]): Promise<System> => {
  const port = await findFreePort("127.0.0.1", 0);
  const folder = join(workshop.folder, "caddy");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "Caddyfile");
  writeFileSync(
    file,
    `{
  admin off
  auto_https off
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  reverse_proxy ${upstreams.map((upstream) => `127.0.0.1:${upstream}`).join(" ")} {
    lb_policy least_conn
  }
}
`,
  );
  const program = workshop.own(
    startProgram("caddy", ["run", "--config", file, "--adapter", "caddyfile"], {
      env: { GOMAXPROCS: "1", HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    }),
  );
  await answers(`127.0.0.1:${port}`);
  pin(program.pid, systemCore);
  return { name: "caddy", pids: [program.pid], address: `127.0.0.1:${port}` };
};
