import type { Analyzer } from "./analyzer.ts";
import { policiesOf } from "./policies.ts";

/** A sidecar is to use a secret it does not get. */
export const credentialAtSidecar: Analyzer = {
  code: "WF1145",
  level: "warning",
  also: [],
  title: "credentialName at a sidecar leaves the connection without TLS",
  explain: `Secrets named by credentialName are given to edge proxies, and to sidecars only by a DestinationRule with a
workloadSelector. Without one, a sidecar has no certificate for the service and, as in Istio, connects to it in
plaintext. Add workloadSelector.matchLabels, or name files with clientCertificate, privateKey and caCertificates.`,
  run: ({ of }) =>
    of("DestinationRule").flatMap((object) =>
      Object.keys(object.spec.workloadSelector?.matchLabels ?? {}).length > 0
        ? []
        : policiesOf(object).flatMap(({ policy: { tls }, path }) => {
            if (!tls?.credentialName || (tls.mode !== "SIMPLE" && tls.mode !== "MUTUAL")) return [];
            const message = `sidecars connect without TLS, as credentialName needs spec.workloadSelector there: add it, or name files`;
            return [{ object, path: [...path, "tls", "credentialName"], message }];
          }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: vault}
spec:
  host: vault.example
  trafficPolicy: {tls: {mode: MUTUAL, credentialName: vault-client}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: vault}
spec:
  host: vault.example
  workloadSelector: {matchLabels: {app: payroll}}
  trafficPolicy: {tls: {mode: MUTUAL, credentialName: vault-client}}
`,
  },
};
