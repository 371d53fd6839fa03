import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { parseCertificate, peerIdentity } from "@weft/protocols/x509/certificate";
import { DerError } from "@weft/protocols/x509/der-reader";

/** A certificate's subject alternative names; addresses as text. */
export interface SubjectNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly emails: readonly string[];
  readonly addresses: readonly string[];
}

/** Who is at the other end, once the handshake is done. */
export interface TlsPeer {
  readonly alpn: string;
  readonly sni: string;
  readonly version: string;
  /**
   * The peer's certificate descends from our roots, is in its dates, and its names can be read in one way only; one with
   * a SPIFFE ID proves exactly that. False without a certificate.
   */
  readonly verified: boolean;
  /** Why not, in OpenSSL's word or ours, when a certificate was given. */
  readonly verifyError: string;
  readonly hasCertificate: boolean;
  readonly names: SubjectNames;
  /** As RFC 2253 writes it: most specific first. */
  readonly subject: string;
  readonly fingerprint: string;
  /** PEM of the leaf, for x-forwarded-client-cert. */
  readonly pem: string;
}

const noNames: SubjectNames = { uris: [], dnsNames: [], emails: [], addresses: [] };

const addressText = (bytes: Buffer): string => {
  if (bytes.length === 4) return bytes.join(".");
  const groups: string[] = [];
  for (let at = 0; at + 1 < bytes.length; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return groups.join(":");
};

interface NamesRead {
  readonly names: SubjectNames;
  /** Why the certificate proves nothing, whoever signed it. */
  readonly problem: string | undefined;
}

/**
 * The names from the certificate's own bytes: printed forms quote and join them, and a name with a comma in it must
 * never pass for two. A certificate that is not strict DER has none.
 */
const readNames = ({ raw, subjectAltName }: X509Certificate): NamesRead => {
  try {
    const { uris, dnsNames, emails = [], ipAddresses } = parseCertificate(raw).altNames;
    const names = { uris, dnsNames, emails, addresses: ipAddresses.map(addressText) };
    if (!uris.some((uri) => /^spiffe:/i.test(uri))) return { names, problem: undefined };
    const proven = peerIdentity(raw);
    if (proven.kind === "identity") return { names, problem: undefined };
    return { names: noNames, problem: `no workload's certificate: ${proven.reason}` };
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    // Old ones without names, such as those of version 1, have nothing that could be misread.
    const problem = subjectAltName === undefined ? undefined : `names that cannot be read: ${error.message}`;
    return { names: noNames, problem };
  }
};

interface VerifyingHandle {
  readonly verifyError?: () => { readonly code?: string; readonly message: string } | null | undefined;
}

/** OpenSSL's verdict on the chain. Nothing documented tells it for a server socket made by hand; unknown is a refusal. */
const verifyErrorOf = (socket: TLSSocket): string => {
  const handle = (socket as unknown as { _handle: VerifyingHandle | null })._handle;
  if (handle?.verifyError === undefined) return "UNKNOWN";
  const error = handle.verifyError();
  return error ? (error.code ?? error.message) : "";
};

export const tlsPeer = (socket: TLSSocket, servername: string): TlsPeer => {
  const certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  const alpn = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "";
  const version = socket.getProtocol() ?? "";
  if (certificate === undefined) {
    return {
      alpn,
      sni: servername,
      version,
      verified: false,
      verifyError: "",
      hasCertificate: false,
      names: noNames,
      subject: "",
      fingerprint: "",
      pem: "",
    };
  }
  const { names, problem } = readNames(certificate);
  const verifyError = verifyErrorOf(socket) || (problem ?? "");
  return {
    alpn,
    sni: servername,
    version,
    verified: verifyError === "",
    verifyError,
    hasCertificate: true,
    names,
    subject: certificate.subject?.split("\n").reverse().join(",") ?? "",
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    pem: certificate.toString(),
  };
};

/** URI SANs of a certificate chain's leaf in PEM; empty when it has none or is none. */
export const certificateUris = (pem: string): readonly string[] => {
  try {
    return readNames(new X509Certificate(pem)).names.uris;
  } catch {
    return [];
  }
};
