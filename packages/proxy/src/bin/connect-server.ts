/** From a management server as configured to a gRPC channel, with keys and roots read anew for every connection. */

import type { PeerCertificate } from "node:tls";
import type { Logger } from "@weft/core/world";
import { readIfThere } from "@weft/net/files/files";
import { createGrpcChannel, type GrpcChannel, type GrpcTls } from "@weft/net/grpc/client";
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

/** A connection is given up so soon where another address may be tried. */
const connectTimeoutMs = 3_000;

/** Several addresses take turns, one per connection, from any of them on: thousands of sidecars do not all take the first. */
export const connectServer = (server: XdsServer, findSecret: FindSecret, log: Logger): GrpcChannel => {
  let turn = Math.floor(Math.random() * server.targets.length);
  const { tls } = server;
  return createGrpcChannel({
    target: () => {
      const target = server.targets[turn++ % server.targets.length];
      if (!target) throw new Error(`${server.name} has no address`);
      log.debug("connecting", {
        server: server.name,
        to: target.kind === "tcp" ? `${target.host}:${target.port}` : target.path,
      });
      return target;
    },
    ...(server.targets.length > 1 ? { connectTimeoutMs } : {}),
    ...(tls ? { tls: () => readTls(tls, findSecret) } : {}),
  });
};
