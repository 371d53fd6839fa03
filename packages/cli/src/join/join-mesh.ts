/** What a machine needs to be in the mesh: the root it trusts, and an identity that the CA gave for a join token. */
import { createHash, createPrivateKey } from "node:crypto";
import { formatAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { grpcStatus } from "@weft/core/grpc-status";
import { formatIdentity, type Identity } from "@weft/core/identity";
import { makeFolder, writeAtomic } from "@weft/net/files/files";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { fetchChain, rootServerName } from "@weft/net/tls/fetch-chain";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { createCsr } from "@weft/protocols/x509/csr";
import { encodePem } from "@weft/protocols/x509/pem";
import { generateKey } from "@weft/proxy/identity/generate-key";
import { readMaterial } from "@weft/proxy/identity/identity-material";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import { IstioCertificateRequestSchema, IstioCertificateResponseSchema } from "@weft/xds/gen/istio/ca";

export interface Joining {
  readonly addresses: readonly SocketAddress[];
  readonly serverName: string;
  readonly identity: Identity;
  readonly token: string;
}

const createCertificatePath = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
const withinMs = 10_000;

/** `sha256:HEX`, with or without the prefix and colons between bytes; `undefined` for what is none. */
export const parseFingerprint = (text: string): string | undefined => {
  const hex = text
    .replace(/^sha256:/i, "")
    .replaceAll(":", "")
    .toLowerCase();
  return /^[0-9a-f]{64}$/.test(hex) ? hex : undefined;
};

export const fingerprintOf = (der: Buffer): string => createHash("sha256").update(der).digest("hex");

/** The first answer of several control planes; what one refuses the others would too. */
const fromAny = async <T>(
  addresses: readonly SocketAddress[],
  ask: (address: SocketAddress) => Promise<T>,
): Promise<T> => {
  const reasons: string[] = [];
  for (const address of addresses) {
    try {
      return await ask(address);
    } catch (error) {
      if (error instanceof WeftError) throw error;
      const isAway = !(error instanceof GrpcError) || away.has(error.status);
      if (!isAway) throw refusedJoin(error.message);
      reasons.push(`${formatAddress(address)}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw nobodyAnswers(reasons.map((reason) => reason.replaceAll(/\s+/g, " ").trim()).join("; "));
};

/** What a TLS handshake fails with, and what there is to do about it. */
const handshakeFailures: readonly (readonly [RegExp, string, string])[] = [
  [
    /self-signed|issuer certificate|unable to verify/i,
    "the control plane's certificate is not of the root that was given",
    "this is another mesh, or somebody in between: compare --root-cert with root-cert.pem in the control plane's --data folder",
  ],
  [
    /does not match certificate's altnames/i,
    "the control plane's certificate has another name",
    "give its name, istiod.NAMESPACE.svc, by --cp-name",
  ],
  [/expired|not yet valid/i, "the control plane's certificate is not valid now", "set this machine's clock"],
  [
    /wrong version number|packet length/i,
    "what listens there does not speak TLS",
    "give the secure address (port 15012 unless told otherwise), not that of the HTTP API or of xDS without TLS",
  ],
];

const nobodyAnswers = (reasons: string): WeftError => {
  const [, what, next] = handshakeFailures.find(([pattern]) => pattern.test(reasons)) ?? [];
  if (what === undefined) {
    return new WeftError("WF2210", `no control plane can be reached: ${reasons}`, {
      next: "check --cp, the secure address of a control plane, and the way there",
    });
  }
  return new WeftError(what === handshakeFailures[0]?.[1] ? "WF2211" : "WF2210", `${what}: ${reasons}`, {
    next: next ?? "",
  });
};
const away: ReadonlySet<number> = new Set([grpcStatus.unavailable, grpcStatus.deadlineExceeded]);

const refusedJoin = (message: string): WeftError =>
  new WeftError("WF2212", `the control plane gives no certificate: ${message}`, {
    next: "make a join token for this name and namespace with weft token create",
  });

/** PEM of the root that a control plane shows and that has this fingerprint. Throws WF2211 where none has. */
export const fetchRoot = (
  { addresses, serverName }: Omit<Joining, "token" | "identity">,
  fingerprint: string,
): Promise<string> =>
  fromAny(addresses, async (address) => {
    // What routes by server name on the way to the control plane knows only the first of them.
    for (const name of [serverName, rootServerName]) {
      const chain = await fetchChain({ address, serverName: name, timeoutMs: withinMs });
      const root = chain.find((der) => fingerprintOf(der) === fingerprint);
      if (root) return encodePem("CERTIFICATE", root);
    }
    throw new WeftError(
      "WF2211",
      `the control plane at ${formatAddress(address)} shows no certificate of that fingerprint`,
      {
        next: "this is another mesh, or somebody in between: compare with weft token create on the control plane's machine",
      },
    );
  });

/** A key and its chain, checked as a sidecar checks them. Throws WF2210 and WF2212. */
export const fetchIdentity = async (
  joining: Joining,
  rootPem: string,
): Promise<{ keyPem: string; chain: readonly string[] }> => {
  const { addresses, serverName, identity, token } = joining;
  const keyPem = await generateKey();
  const csr = createCsr(createPrivateKey(keyPem), { ...noAltNames, uris: [formatIdentity(identity)] });
  const answer = await fromAny(addresses, async (address) => {
    using channel = createGrpcChannel({
      target: { kind: "tcp", ...address },
      tls: () => ({ roots: rootPem, serverName }),
      connectTimeoutMs: withinMs,
    });
    const call = { path: createCertificatePath, deadlineMs: withinMs, metadata: { authorization: `Bearer ${token}` } };
    return await channel.unary(call, encodeMessage(IstioCertificateRequestSchema, { csr }));
  });
  const { certChain: chain = [] } = decodeMessage(IstioCertificateResponseSchema, answer) as { certChain?: string[] };
  try {
    readMaterial({ keyPem, chain }, identity);
  } catch (cause) {
    throw refusedJoin(cause instanceof Error ? cause.message : String(cause));
  }
  return { keyPem, chain };
};

/** Where a sidecar looks for them. */
export const joinedFiles = (folder: string) => ({
  root: `${folder}/root-cert.pem`,
  data: `${folder}/data`,
  identity: `${folder}/data/identity/identity.json`,
});

export const writeJoined = (folder: string, rootPem: string, identity: object): void => {
  const files = joinedFiles(folder);
  makeFolder(`${files.data}/identity`);
  writeAtomic(files.root, rootPem, 0o644);
  writeAtomic(files.identity, JSON.stringify(identity));
};
