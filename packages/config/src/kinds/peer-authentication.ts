/** PeerAuthentication: whether workloads take plaintext, mTLS or both. */
import { type Infer, mapOf, object, oneWord } from "../schema/schema.ts";
import { workloadSelector } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validatePeerAuthentication } from "./peer-authentication-rules.ts";

const mtls = object("What connections must be.", {
  mode: oneWord(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"], "UNSET inherits from namespace and mesh.", {
    default: "UNSET",
  }),
});
export interface MutualTls extends Infer<typeof mtls> {}

export const peerAuthenticationSpec = object("Mutual TLS at the server's side.", {
  selector: workloadSelector,
  mtls,
  portLevelMtls: mapOf(mtls, "Modes by the workload's port; needs a selector."),
});
export interface PeerAuthenticationSpec extends Infer<typeof peerAuthenticationSpec> {}

export const peerAuthentication: Kind = defineKind({
  name: "PeerAuthentication",
  plural: "peerauthentications",
  shortNames: ["pa"],
  group: "security.istio.io",
  versions: ["v1", "v1beta1"],
  about: "Whether workloads accept plaintext, mutual TLS or both. The mesh's default is PERMISSIVE.",
  schema: peerAuthenticationSpec,
  validate: validatePeerAuthentication,
});
