/** Kubernetes Secret: keys, certificates and authorities that gateways and DestinationRules name. */
import { type Infer, mapOf, object, text } from "../schema/schema.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateSecret } from "./secret-rules.ts";

export const secretSpec = object(
  "Entries by name: tls.crt and tls.key, or cert and key; ca.crt or cacert for authorities.",
  {
    data: mapOf(text("The entry in base64."), "Entries in base64."),
    stringData: mapOf(text("The entry."), "Entries as they are; they hold over those in data."),
  },
  { open: true },
);
export interface SecretSpec extends Infer<typeof secretSpec> {}

export const secret: Kind = defineKind({
  name: "Secret",
  plural: "secrets",
  group: "",
  versions: ["v1"],
  about:
    "Keys and certificates that Gateways and DestinationRules name as credentialName; given only to proxies that prove who they are.",
  bodyIsRoot: true,
  schema: secretSpec,
  validate: validateSecret,
});
