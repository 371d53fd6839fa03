import type { HeaderList } from "@weft/protocols/http/headers";
import type { DownstreamInfo, DownstreamTlsInfo } from "./exchange.ts";
import type { XfccSettings } from "./hcm-settings.ts";

const name = "x-forwarded-client-cert";

const quoted = (value: string): string => (/[,;="\\]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value);

/** One element: who we are, and the certificate the client showed. */
const element = (settings: XfccSettings, tls: DownstreamTlsInfo): string => {
  const parts = tls.localUris.map((uri) => `By=${quoted(uri)}`);
  parts.push(`Hash=${tls.peerFingerprint}`);
  if (settings.cert) parts.push(`Cert="${encodeURIComponent(tls.peerPem)}"`);
  // Its quotation marks are escaped as RFC 2253 says: once more, and they would end the value.
  if (settings.subject) parts.push(`Subject="${tls.peerSubject}"`);
  if (settings.uri) for (const uri of tls.peerUris.length === 0 ? [""] : tls.peerUris) parts.push(`URI=${quoted(uri)}`);
  if (settings.dns) for (const dns of tls.peerDnsNames) parts.push(`DNS=${quoted(dns)}`);
  return parts.join(";");
};

/**
 * x-forwarded-client-cert, by the mode the listener has. Without mutual TLS the header is believed in no mode but
 * `alwaysForwardOnly`: anybody could have written it.
 */
export const editXfcc = (settings: XfccSettings, headers: HeaderList, downstream: DownstreamInfo): void => {
  const { mode } = settings;
  if (mode === "alwaysForwardOnly") return;
  const { tls } = downstream;
  const mutual = tls !== undefined && tls.peerFingerprint !== "";
  if (!mutual || mode === "sanitize") {
    headers.remove(name);
    return;
  }
  if (mode === "forwardOnly") return;
  const ours = element(settings, tls);
  const before = mode === "appendForward" ? headers.getJoined(name) : undefined;
  headers.set(name, before === undefined ? ours : `${before},${ours}`);
};
