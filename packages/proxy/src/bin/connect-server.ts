/** From a management server as configured to a gRPC channel, with keys and roots read anew for every connection. */

import type { PeerCertificate } from "node:tls";
import { shuffled } from "@weft/core/shuffled";
import type { Logger } from "@weft/core/world";
import { readIfThere } from "@weft/net/files/files";
import { createGrpcChannel, type GrpcChannel, type GrpcChannelOptions, type GrpcTls } from "@weft/net/grpc/client";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { Material, ServerTls, XdsServer } from "../bootstrap/xds-server.ts";

/** The JSON of a secret in force, by name. */
export type FindSecret = (name: string) => SecretJson | undefined;

type Part = "roots" | "certificate" | "key";

const readMaterial = (material: Material, part: Part, findSecret: FindSecret): string => {
  switch (material.kind) {
    case "text":
      return material.text;
    case "file": {
      const text = readIfThere(material.path);
      if (text === undefined) throw new Error(`${material.path} is not there`);
      return text;
    }
    case "secret": {
      const secret = findSecret(material.name);
      const source =
        part === "roots"
          ? secret?.validationContext?.trustedCa
          : part === "key"
            ? secret?.tlsCertificate?.privateKey
            : secret?.tlsCertificate?.certificateChain;
      if (source?.filename) return readMaterial({ kind: "file", path: source.filename }, part, findSecret);
      const text = source?.inlineString ?? Buffer.from(source?.inlineBytes ?? "", "base64").toString("utf8");
      if (text === "") throw new Error(`the secret ${material.name} is not here yet`);
      return text;
    }
    default:
      return material satisfies never;
  }
};

/** Any of the names in the certificate is one of those asked for. */
const checkNames =
  (sans: readonly string[]) =>
  ({ subjectaltname = "" }: PeerCertificate): Error | undefined => {
    const names = subjectaltname.split(", ").map((name) => name.slice(name.indexOf(":") + 1));
    return sans.some((san) => names.includes(san))
      ? undefined
      : new Error(`the server's certificate is for ${subjectaltname}, not ${sans.join(" or ")}`);
  };

const readTls = (tls: ServerTls, findSecret: FindSecret): GrpcTls => ({
  roots: readMaterial(tls.roots, "roots", findSecret),
  ...(tls.certificate ? { certificate: readMaterial(tls.certificate, "certificate", findSecret) } : {}),
  ...(tls.key ? { key: readMaterial(tls.key, "key", findSecret) } : {}),
  serverName: tls.serverName,
  ...(tls.sans.length > 0 ? { checkPeer: checkNames(tls.sans) } : {}),
});

/** When a connection is given up; `keepaliveMs` and `keepaliveTimeoutMs` together after its peer fell silent. */
export type Patience = Pick<GrpcChannelOptions, "connectTimeoutMs" | "keepaliveMs" | "keepaliveTimeoutMs">;

/** Where another address may be tried. */
export const patienceWithOthers = {
  connectTimeoutMs: 3_000,
  keepaliveMs: 20_000,
  keepaliveTimeoutMs: 5_000,
} as const satisfies Patience;

/**
 * Several addresses take turns, one per connection, in an order of this sidecar's own: thousands do not all begin with
 * the first, nor do all that were with one go to the same next.
 */
export const connectServer = (
  server: XdsServer,
  findSecret: FindSecret,
  log: Logger,
  patience: Patience = patienceWithOthers,
): GrpcChannel => {
  let turn = 0;
  const { tls } = server;
  const targets = shuffled(server.targets, Math.random);
  return createGrpcChannel({
    target: () => {
      const target = targets[turn++ % targets.length];
      if (!target) throw new Error(`${server.name} has no address`);
      log.debug("connecting", {
        server: server.name,
        to: target.kind === "tcp" ? `${target.host}:${target.port}` : target.path,
      });
      return target;
    },
    ...(targets.length > 1 ? patience : {}),
    ...(tls ? { tls: () => readTls(tls, findSecret) } : {}),
  });
};
