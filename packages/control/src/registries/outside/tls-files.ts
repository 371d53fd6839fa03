/** `ca=FILE&cert=FILE&key=FILE&server-name=NAME` of a registry's URL. */
import { isReadable, readIfThere } from "@weft/net/files/files";
import { type RegistryUrl, wrongUrl } from "./registry-url.ts";

export const tlsOptions = ["tls", "ca", "cert", "key", "server-name"] as const;

/** Files, read anew for each connection. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly serverName: string | undefined;
}

/** `undefined`: without TLS. Throws WF2102 where the options do not go together, or a file cannot be read. */
export const tlsFilesIn = (url: RegistryUrl): TlsFiles | undefined => {
  const [ca, cert, key, serverName] = ["ca", "cert", "key", "server-name"].map((name) => url.options.get(name));
  const wanted = url.options.get("tls");
  if (wanted !== undefined && wanted !== "true" && wanted !== "false")
    throw wrongUrl(url.text, "has tls that is neither true nor false");
  if (ca === undefined) {
    if (wanted === "true" || cert !== undefined || key !== undefined || serverName !== undefined)
      throw wrongUrl(url.text, "asks for TLS without ca=FILE, the roots to trust");
    return undefined;
  }
  if (wanted === "false") throw wrongUrl(url.text, "has ca and says tls=false");
  if ((cert === undefined) !== (key === undefined)) throw wrongUrl(url.text, "has one of cert and key only");
  for (const file of [ca, cert, key]) {
    if (file !== undefined && !isReadable(file)) throw wrongUrl(url.text, `names ${file}, which cannot be read`);
  }
  return { caFile: ca, certFile: cert, keyFile: key, serverName };
};

/** What they hold now, in PEM; the name is that of the host where the URL gives none. */
export const readTlsFiles = ({ caFile, certFile, keyFile, serverName }: TlsFiles, host: string) => ({
  roots: fileText(caFile),
  ...(certFile === undefined ? {} : { certificate: fileText(certFile) }),
  ...(keyFile === undefined ? {} : { key: fileText(keyFile) }),
  serverName: serverName ?? host,
});

const fileText = (path: string): string => readIfThere(path) ?? "";
