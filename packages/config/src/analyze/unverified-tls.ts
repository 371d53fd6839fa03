import type { Analyzer } from "./analyzer.ts";
import { policiesOf } from "./policies.ts";

/** TLS to a service whose certificate is not checked. */
export const unverifiedTls: Analyzer = {
  code: "WF1124",
  level: "warning",
  also: ["IST0128", "IST0129"],
  title: "TLS does not verify the server",
  explain: `\`insecureSkipVerify\` takes any certificate, so anybody on the path can answer as the service. Without
\`caCertificates\` the server is verified against the operating system's authorities, which is right for
public services and wrong for private ones.`,
  run: ({ of }) =>
    of("DestinationRule").flatMap((object) =>
      policiesOf(object).flatMap(({ policy: { tls }, path }) => {
        if (tls?.mode !== "SIMPLE" && tls?.mode !== "MUTUAL") return [];
        const at = [...path, "tls"];
        if (tls.insecureSkipVerify) {
          const message = "insecureSkipVerify accepts any certificate: give caCertificates instead";
          return [{ object, path: [...at, "insecureSkipVerify"], message }];
        }
        if (tls.caCertificates || tls.credentialName) return [];
        const message =
          `tls.mode ${tls.mode} without caCertificates trusts the operating system's authorities: ` +
          `give caCertificates if the service is private`;
        return [{ object, path: at, message, level: "info" as const }];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec:
  host: api.bank.example
  trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec:
  host: api.bank.example
  trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /etc/ssl/bank.pem}}
`,
  },
};
