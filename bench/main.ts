/** `npm run bench -- NAME [--rounds N] [--seconds N] [--json]`: weft beside real peers, alternating, CPU from /proc. */
import { installPeers } from "../e2e/install-peers.ts";
import { parseOptions } from "./options.ts";

const benches = {
  http1: async () => (await import("./http1.ts")).benchHttp1,
  telemetry: async () => (await import("./telemetry.ts")).benchTelemetry,
  http2: async () => (await import("./http2.ts")).benchHttp2,
  pair: async () => (await import("./pair.ts")).benchPair,
  streams: async () => (await import("./streams.ts")).benchStreams,
  bulk: async () => (await import("./bulk.ts")).benchBulk,
  memory: async () => (await import("./memory.ts")).benchMemory,
  scale: async () => (await import("./scale.ts")).benchScale,
  "slow-readers": async () => (await import("./slow-readers.ts")).benchSlowReaders,
  push: async () => (await import("./push.ts")).benchPush,
  routes: async () => (await import("./routes.ts")).benchRoutes,
  storm: async () => (await import("./storm.ts")).benchStorm,
  "mesh-size": async () => (await import("./mesh-size.ts")).benchMeshSize,
  failover: async () => (await import("./failover.ts")).benchFailover,
  "idle-sidecars": async () => (await import("./idle-sidecars.ts")).benchIdleSidecars,
  "model-size": async () => (await import("./model-size.ts")).benchModelSize,
  registrations: async () => (await import("./registrations.ts")).benchRegistrations,
} as const;

const [name = "", ...flags] = process.argv.slice(2);
if (!Object.hasOwn(benches, name)) {
  process.stderr.write(
    `WF9060 no bench is called "${name}". Next: npm run bench -- ${Object.keys(benches).join("|")}\n`,
  );
  process.exit(2);
}
installPeers();
const run = await benches[name as keyof typeof benches]();
await run(parseOptions(flags));
process.exit(0);
