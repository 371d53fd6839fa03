/** `npm run docs`: prints docs/reference.md from the code itself. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { otherCodes } from "@weft/cli/codes";
import { listCodes } from "@weft/config/analyze/explain";
import { kindReference } from "@weft/config/docs/kind-reference";
import { fieldsWithoutEffect } from "@weft/config/effects";
import { kinds } from "@weft/config/kinds/index";
import { adminPaths } from "@weft/proxy/admin/admin";
import { limitsPath, printLimits } from "./print-limits.ts";
import { apiTable } from "./reference-api.ts";
import { commandSections } from "./reference-commands.ts";

export const referencePath = join(import.meta.dirname, "../docs/reference.md");

const cell = (text: string): string => text.replaceAll("\n", " ").replaceAll("|", "\\|");
const table = (headings: readonly string[], rows: readonly (readonly string[])[]): string =>
  [headings, headings.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

const exitCodeTable = table(
  ["Code", "Meaning"],
  [
    ["0", "done"],
    ["1", "failed; the reason is on standard error, with a code"],
    ["2", "the command line cannot be followed"],
    ["3", "findings: `analyze` at or above `--fail-on`, `check` with problems, `intercept verify` with differences"],
    ["4", "the control plane does not answer"],
    ["5", "not ready in time"],
  ],
);

const portTable = table(
  ["Port", "Who", "What"],
  [
    ["8080", "control plane", "HTTP API"],
    ["15010", "control plane", "xDS in plaintext, for proxies on this machine; never carries keys"],
    ["15012", "control plane", "xDS and certificates over TLS; a proxy shows its certificate"],
    ["15014", "control plane", "`/metrics` for Prometheus, `/ready`, `/v1/version`"],
    ["15000", "sidecar", "admin interface"],
    ["15001", "sidecar", "outbound: where programs dial the mesh, or where their connections are redirected to"],
    ["15006", "sidecar", "inbound, when connections are intercepted"],
    ["15053", "sidecar", "DNS over UDP and TCP, on loopback, with `--dns`"],
  ],
);

const variableTable = table(
  ["Variable", "Meaning"],
  [
    ["`WEFT_CP`", "the control plane's HTTP address, as `--cp`"],
    ["`WEFT_TOKEN`", "the admin token itself"],
    ["`WEFT_TOKEN_FILE`", "the file it is in, as `--token-file`"],
    ["`ISTIO_META_DNS_CAPTURE`", "`true`: a sidecar started without `--dns` has it all the same"],
    ["`WEFT_STATE_DIR`", "where the mesh that runs on this machine is noted; in the temporary folder by default"],
    ["`WEFT_OUTBOUND`", "given to programs of `weft run`: where they dial the mesh"],
    [
      "`HTTP_PROXY`, `NO_PROXY`",
      "given to them too, in lower case as well; `NO_PROXY` stays what it was where it is set",
    ],
    ["`PORT`", "given to them too: the value of `--port`, unless set already"],
  ],
);

/** By name, as the control plane reads them. */
export const nodeMetadata: readonly (readonly [name: string, meaning: string])[] = [
  ["NAMESPACE", "the workload's namespace; else the one in the node's id"],
  ["SERVICE_ACCOUNT", "its identity; on the secure port it must be its certificate's"],
  ["WORKLOAD_NAME", "its name; else the one in the node's id"],
  ["LABELS", "its labels, for selectors and subsets"],
  ["CLUSTER_ID", "the cluster it is in"],
  ["INSTANCE_IPS", "its addresses beside the one in the node's id, parted by commas"],
  ["INTERCEPTION_MODE", "NONE (it is dialled), REDIRECT or TPROXY (it intercepts); REDIRECT when absent"],
  ["GENERATOR", "`grpc` for a proxyless gRPC client that does not say so by its user agent"],
  ["WEFT_VERSION", "there for weft's own sidecar: it has its keys, and Istio's filters natively"],
  ["WEFT_SDS", "for another proxy: the static cluster it gets its keys from; without it, no TLS"],
  ["WEFT_OUTBOUND", "with NONE: where programs dial it; 127.0.0.1:15001 when absent"],
  [
    "DNS_CAPTURE",
    "`true`: its program's names are looked up through it, so services without addresses have virtual ones",
  ],
  ["WEFT_DNS", "where it answers DNS itself, HOST:PORT of loopback; weft's own: 127.0.0.1:15053 with `DNS_CAPTURE`"],
  ["ISTIO_VERSION", "what `proxyVersion` in an EnvoyFilter is compared with; 1.31.0 if absent"],
  ["WEFT_INBOUND", "with NONE: a list of `{name, protocol, address, port, appAddress?, appPort, service?}`"],
];

const instanceTable = table(
  ["Field", "Meaning"],
  [
    ["`address` **required**", "IP address the mesh dials"],
    ["`port`, `appPort`, `servicePort`, `portName`, `protocol`", "one port: dialled, the application's, the callers'"],
    ["`ports`", "several: `[{name, port, appPort?, protocol?, servicePort?}]`"],
    ["`namespace`", "also as `?namespace=`; `default`"],
    ["`labels`", "for subsets and selectors"],
    ["`metadata`", "texts; `workload` names it, `grpc-services` lists the gRPC services it serves"],
    ["`weight`", "0–65535, 1 when absent"],
    ["`locality`", "`REGION/ZONE/SUBZONE`"],
    ["`serviceAccount`", "its identity, which callers then insist on"],
    ["`health`", "`healthy`, `unhealthy` or `draining`"],
    ["`ttlSeconds`", "it is taken out unless renewed in this time; 0: it stays"],
  ],
);

const adminTable = (): string =>
  table(
    ["Method", "Path", "What it shows or does"],
    adminPaths.map(({ method, path, help }) => [method, `\`${path}\``, cell(help)]),
  );

const effectTable = (): string =>
  table(
    ["Kind", "Field", "Values", "What happens instead"],
    [...fieldsWithoutEffect].flatMap(([kind, fields]) =>
      fields.map(({ path, values, note }) => [kind, `\`${path}\``, values?.join(", ") ?? "all", cell(note)]),
    ),
  );

const inertTable = (): string =>
  table(
    ["Kind", "apiVersion", "Why"],
    kinds.flatMap(({ name, group, versions, inert }) => {
      const prefix = group === "" ? "" : `${group}/`;
      return inert === undefined ? [] : [[name, versions.map((version) => prefix + version).join(", "), cell(inert)]];
    }),
  );

const kindSections = (): string =>
  kinds
    .filter(({ inert }) => inert === undefined)
    .map((kind) => kindReference(kind).trimEnd().replaceAll(/^#/gm, "###"))
    .join("\n\n");

const findingTable = (): string =>
  table(
    ["Code", "Level", "Meaning", "What to do", "Also"],
    listCodes().map(({ code, level, title, explain, also }) => [
      code,
      level,
      cell(title),
      cell(explain),
      also.join(", "),
    ]),
  );

const codeTable = (): string =>
  table(
    ["Code", "Meaning", "What to do"],
    otherCodes.map(({ code, title, explain }) => [code, cell(title), cell(explain)]),
  );

/** The whole page; the same for the same sources. */
export const printReference = (): string =>
  `# Reference

Printed from the code by \`npm run docs\`; change the code, not this page.

[Commands](#commands) · [Exit codes](#exit-codes) · [Environment](#environment) · [Ports](#ports) ·
[HTTP API](#http-api) · [Admin interface](#admin-interface-of-a-sidecar) · [Node metadata](#node-metadata) ·
[Kinds](#kinds) · [Findings](#findings) · [Codes](#codes)

## Commands

${commandSections()}

## Exit codes

${exitCodeTable}

\`weft run\` ends with the program's own exit code, 128 and the signal's number when a signal ended it.

## Environment

${variableTable}

## Ports

${portTable}

## HTTP API

JSON over HTTP, on the control plane's \`--http-address\`. Everybody on the machine may read; changes, and reading from
another machine, need \`Authorization: Bearer TOKEN\` with the text of \`DATA/admin-token\`. The Host must be loopback, the
machine's name or an \`--http-host\`, and so must the Origin where there is one. Lists are
\`{apiVersion, kind, items, summary}\`; errors are \`{code, message, next?}\` with a fitting status.

${apiTable()}

An instance, as it is registered:

${instanceTable}

## Admin interface of a sidecar

Envoy's paths and shapes. The Host must be an address or localhost.

${adminTable()}

## Node metadata

What the control plane reads of a proxy's node, whose id is \`sidecar~IP~WORKLOAD.NAMESPACE~NAMESPACE.svc.DOMAIN\`
(\`router~…\` for a gateway; any for a gRPC client).

${table(
  ["Name", "Meaning"],
  nodeMetadata.map(([name, meaning]) => [`\`${name}\``, meaning]),
)}

## Kinds

Texts marked RE2 are whole-value expressions. Every object also has \`metadata\` with name, namespace and labels.

${kindSections()}

### Fields without effect

They are read and checked, and \`weft analyze\` reports each use (WF1130).

${effectTable()}

### Kinds without effect

They are accepted, so that whole folders can be applied, and reported (WF1011).

${inertTable()}

## Findings

Of \`weft analyze\` and of applying configuration. \`weft explain CODE\` says the same, with an example.

${findingTable()}

## Codes

All others: 2xxx control plane, 3xxx xDS, 4xxx authorization, 5xxx data path, 6xxx interception, 7xxx identity,
8xxx registry and HTTP API, 9xxx command line. WF15xx are notes about what could not be generated as asked.

${codeTable()}
`;

if (import.meta.main) {
  writeFileSync(referencePath, printReference());
  writeFileSync(limitsPath, printLimits());
}
