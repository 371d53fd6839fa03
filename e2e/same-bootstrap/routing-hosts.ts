/** Virtual hosts of the routing comparison: what of a request chooses its route, and what the route makes of it. */
import { always, prefix, type } from "./parts.ts";

/** One virtual host; its domain is `NAME.example` where it names none. */
export interface RoutingHost {
  readonly name: string;
  readonly domains?: readonly string[];
  readonly routes: readonly object[];
  readonly [rest: string]: unknown;
}

/** Answers with the route's name. */
const says = (name: string, match: object): object => ({
  name,
  match: { prefix: "/", ...match },
  directResponse: { status: 200, body: { inlineString: name } },
});
const sees = (name: string, match: object): object => {
  const own = says(name, match) as { match: { prefix?: string } };
  delete own.match.prefix;
  return own;
};
const rest = says("rest", {});
const header = (name: string, matcher: object): object => says(name, { headers: [{ name: "x-h", ...matcher }] });
const query = (name: string, matcher: object): object => says(name, { queryParameters: [{ name: "q", ...matcher }] });
const template = (pathTemplate: string): object => ({
  pathMatchPolicy: {
    name: "envoy.path.match.uri_template.uri_template_matcher",
    typedConfig: { "@type": type("extensions.path.match.uri_template.v3.UriTemplateMatchConfig"), pathTemplate },
  },
});
const one = (path: string, action: object, more: object = {}): object =>
  prefix(path, { route: { cluster: "one", ...action }, ...more });
const add = (key: string, value: string, appendAction = "APPEND_IF_EXISTS_OR_ADD", more: object = {}): object => ({
  header: { key, value },
  appendAction,
  ...more,
});

export const matchHosts: readonly RoutingHost[] = [
  {
    name: "paths",
    routes: [
      sees("exact", { path: "/exact" }),
      sees("exact-folded", { path: "/Folded", caseSensitive: false }),
      sees("separated", { pathSeparatedPrefix: "/sep/a" }),
      sees("separated-folded", { pathSeparatedPrefix: "/Sef", caseSensitive: false }),
      sees("regex", { safeRegex: { regex: "/re/[a-z]+/\\d{2,3}" } }),
      sees("regex-any", { safeRegex: { regex: ".*\\.css" } }),
      sees("regex-folded", { safeRegex: { regex: "(?i)/rei/x" } }),
      sees("template", template("/users/{id}/posts/{post=*}")),
      sees("template-rest", template("/files/{rest=**}")),
      sees("template-mid", template("/m/*/n/**")),
      sees("template-suffix", template("/img/{name}.png")),
      sees("template-slash", template("/slash/{x}/")),
      says("prefix-long", { prefix: "/api/v1/x" }),
      says("prefix-short", { prefix: "/api" }),
      says("prefix-folded", { prefix: "/PREF", caseSensitive: false }),
      rest,
    ],
  },
  {
    name: "order",
    routes: [
      sees("one", { path: "/a/b" }),
      says("two", { prefix: "/a/", headers: [{ name: "x-h", stringMatch: { exact: "1" } }] }),
      sees("three", { safeRegex: { regex: "/a/[bc]" } }),
      says("four", { prefix: "/a/c" }),
      says("five", { prefix: "/a" }),
      says("six", { prefix: "/a/d" }),
      sees("seven", { path: "/a/e" }),
      says("eight", { prefix: "/b" }),
      says("nine", { prefix: "/" }),
      says("ten", { prefix: "/c" }),
    ],
  },
  {
    name: "headers",
    routes: [
      header("exact", { stringMatch: { exact: "exact" } }),
      header("exact-folded", { stringMatch: { exact: "FoLded", ignoreCase: true } }),
      header("prefix", { stringMatch: { prefix: "pre-" } }),
      header("suffix", { stringMatch: { suffix: "-suf" } }),
      header("contains", { stringMatch: { contains: "con" } }),
      header("regex", { stringMatch: { safeRegex: { regex: "[0-9]+x" } } }),
      header("range", { rangeMatch: { start: "-5", end: "10" } }),
      says("present", { headers: [{ name: "x-there", presentMatch: true }] }),
      says("method", { headers: [{ name: ":method", stringMatch: { exact: "PUT" } }] }),
      says("authority", { headers: [{ name: ":authority", stringMatch: { suffix: ":81" } }] }),
      says("path", { headers: [{ name: ":path", stringMatch: { exact: "/whole?x=1" } }] }),
      says("empty", {
        headers: [{ name: "x-e", stringMatch: { exact: "" }, treatMissingHeaderAsEmpty: true }, { name: "x-want-e" }],
      }),
      says("not", { headers: [{ name: "x-n", stringMatch: { exact: "a" }, invertMatch: true }] }),
      says("not-missing", {
        headers: [
          { name: "x-m", stringMatch: { exact: "a" }, invertMatch: true, treatMissingHeaderAsEmpty: true },
          { name: "x-want-m" },
        ],
      }),
      says("absent", {
        headers: [
          { name: "x-gone", presentMatch: false },
          { name: "x-want-absent", presentMatch: true },
        ],
      }),
      says("not-present", {
        headers: [{ name: "x-gone", presentMatch: true, invertMatch: true }, { name: "x-want-np" }],
      }),
      says("not-range", { headers: [{ name: "x-r", rangeMatch: { start: "1", end: "3" }, invertMatch: true }] }),
      rest,
    ],
  },
  {
    name: "queries",
    routes: [
      query("exact", { stringMatch: { exact: "exact" } }),
      query("prefix", { stringMatch: { prefix: "pre" } }),
      query("regex", { stringMatch: { safeRegex: { regex: "v[0-9]" } } }),
      query("escaped", { stringMatch: { exact: "a b" } }),
      query("raw", { stringMatch: { exact: "a%20c" } }),
      says("present", { queryParameters: [{ name: "p", presentMatch: true }] }),
      says("absent", {
        queryParameters: [
          { name: "n", presentMatch: false },
          { name: "want", presentMatch: true },
        ],
      }),
      says("both", {
        queryParameters: [
          { name: "a", stringMatch: { exact: "1" } },
          { name: "b", stringMatch: { exact: "2" } },
        ],
      }),
      rest,
    ],
  },
  {
    name: "kinds",
    routes: [
      says("grpc", { grpc: {} }),
      says("certificate", { tlsContext: { presented: true } }),
      says("never", { runtimeFraction: { defaultValue: { numerator: 0 }, runtimeKey: "k" } }),
      says("metadata", {
        dynamicMetadata: [{ filter: "any", path: [{ key: "a" }], value: { stringMatch: { exact: "b" } } }],
      }),
      says("no-metadata", {
        prefix: "/nomd",
        dynamicMetadata: [
          { filter: "any", path: [{ key: "a" }], value: { stringMatch: { exact: "b" } }, invert: true },
        ],
      }),
      says("no-certificate", { prefix: "/plain", tlsContext: { presented: false } }),
      says("always", { prefix: "/always", runtimeFraction: { defaultValue: always, runtimeKey: "k" } }),
      rest,
    ],
  },
  { name: "domain-exact", domains: ["deep.domains.test"], routes: [says("exact", {})] },
  { name: "domain-suffix", domains: ["*.domains.test"], routes: [says("suffix", {})] },
  { name: "domain-longer", domains: ["*.more.domains.test"], routes: [says("longer suffix", {})] },
  { name: "domain-dash", domains: ["*-x.domains.test"], routes: [says("dash suffix", {})] },
  { name: "domain-prefix", domains: ["domains.*"], routes: [says("prefix", {})] },
  { name: "domain-port", domains: ["port.test:8080"], routes: [says("port", {})] },
  { name: "tls", requireTls: "ALL", routes: [rest] },
  { name: "tls-external", requireTls: "EXTERNAL_ONLY", routes: [rest] },
];

const redirect = (path: string, rest: object): object => prefix(path, { redirect: rest });

export const actionHosts: readonly RoutingHost[] = [
  {
    name: "redirects",
    routes: [
      redirect("/https-port", { httpsRedirect: true, portRedirect: 8443 }),
      redirect("/https", { httpsRedirect: true }),
      redirect("/scheme", { schemeRedirect: "ftp" }),
      redirect("/host", { hostRedirect: "other.test" }),
      redirect("/port", { portRedirect: 90 }),
      redirect("/path-query", { pathRedirect: "/new?fixed=1" }),
      redirect("/path", { pathRedirect: "/new" }),
      redirect("/prefix", { prefixRewrite: "/swapped" }),
      redirect("/regex", { regexRewrite: { pattern: { regex: "/regex/(\\w+)" }, substitution: "/to/\\1" } }),
      redirect("/strip", { stripQuery: true, hostRedirect: "b.test" }),
      redirect("/302", { pathRedirect: "/x", responseCode: "FOUND" }),
      redirect("/303", { pathRedirect: "/x", responseCode: "SEE_OTHER" }),
      redirect("/307", { pathRedirect: "/x", responseCode: "TEMPORARY_REDIRECT" }),
      redirect("/308", { pathRedirect: "/x", responseCode: "PERMANENT_REDIRECT" }),
      prefix("/headers", {
        redirect: { pathRedirect: "/x" },
        responseHeadersToAdd: [add("x-said", "%RESPONSE_CODE%")],
      }),
    ],
  },
  {
    name: "rewrites",
    routes: [
      one("/prefix", { prefixRewrite: "/" }),
      one("/pre", { prefixRewrite: "/new" }),
      one("/regex", { regexRewrite: { pattern: { regex: "/regex/(\\w+)/(\\w+)" }, substitution: "/\\2/\\1" } }),
      one("/every", { regexRewrite: { pattern: { regex: "e" }, substitution: "3" } }),
      {
        name: "template",
        match: template("/t/{a}/{b=**}"),
        route: {
          cluster: "one",
          pathRewritePolicy: {
            name: "envoy.path.rewrite.uri_template.uri_template_rewriter",
            typedConfig: {
              "@type": type("extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig"),
              pathTemplateRewrite: "/{b}/was/{a}",
            },
          },
        },
      },
      {
        name: "re-prefix",
        match: { safeRegex: { regex: "/rp/.*" } },
        route: { cluster: "one", prefixRewrite: "/all" },
      },
      { name: "exact", match: { path: "/is" }, route: { cluster: "one", prefixRewrite: "/was" } },
      { name: "sep", match: { pathSeparatedPrefix: "/sep" }, route: { cluster: "one", prefixRewrite: "/s" } },
      one("/host-literal", { hostRewriteLiteral: "literal.test" }),
      one("/host-header", { hostRewriteHeader: "x-new-host" }),
      one("/host-regex", {
        hostRewritePathRegex: { pattern: { regex: "/host-regex/([^/]+).*" }, substitution: "\\1" },
      }),
      one("/host-forwarded", { hostRewriteLiteral: "literal.test", appendXForwardedHost: true }),
      one("/auto-forwarded", { cluster: "named", autoHostRewrite: true, appendXForwardedHost: true }),
      one("/auto", { cluster: "named", autoHostRewrite: true }),
      one("/auto-ip", { autoHostRewrite: true }),
      one("/both", { prefixRewrite: "/x", hostRewriteLiteral: "y.test" }),
    ],
  },
  {
    name: "edits",
    requestHeadersToAdd: [add("x-order", "host")],
    requestHeadersToRemove: ["x-host-removes"],
    responseHeadersToAdd: [add("x-answer-order", "host")],
    routes: [
      one(
        "/actions",
        {},
        {
          requestHeadersToAdd: [
            add("x-append", "2"),
            add("x-absent", "2", "ADD_IF_ABSENT"),
            add("x-over", "2", "OVERWRITE_IF_EXISTS_OR_ADD"),
            add("x-if", "2", "OVERWRITE_IF_EXISTS"),
            add("x-empty", ""),
            add("x-kept", "", "APPEND_IF_EXISTS_OR_ADD", { keepEmptyValue: true }),
          ],
          requestHeadersToRemove: ["x-gone"],
          responseHeadersToAdd: [
            add("x-if", "2", "OVERWRITE_IF_EXISTS"),
            add("content-type", "text/x", "OVERWRITE_IF_EXISTS_OR_ADD"),
          ],
          responseHeadersToRemove: ["x-powered-by"],
        },
      ),
      one(
        "/order",
        {},
        {
          requestHeadersToAdd: [add("x-order", "route")],
          responseHeadersToAdd: [add("x-answer-order", "route")],
        },
      ),
      one(
        "/formats",
        {},
        {
          requestHeadersToAdd: [
            add("x-method", "%REQ(:METHOD)%"),
            add("x-path", "%REQ(:PATH)%"),
            add("x-missing", "%REQ(x-not-there)%"),
            add("x-protocol", "%PROTOCOL% 100%%"),
            add("x-host", "%REQ(:AUTHORITY)%"),
          ],
          responseHeadersToAdd: [add("x-code", "%RESPONSE_CODE%"), add("x-cluster", "%UPSTREAM_CLUSTER%")],
        },
      ),
      prefix("/weighted", {
        route: {
          weightedClusters: {
            clusters: [
              {
                name: "one",
                weight: 1,
                requestHeadersToAdd: [add("x-order", "cluster")],
                responseHeadersToAdd: [add("x-answer-order", "cluster")],
                requestHeadersToRemove: ["x-cluster-removes"],
                hostRewriteLiteral: "weighted.test",
              },
            ],
          },
        },
        requestHeadersToAdd: [add("x-order", "route")],
        responseHeadersToAdd: [add("x-answer-order", "route")],
      }),
      prefix("/direct", {
        directResponse: { status: 201, body: { inlineString: "made" } },
        responseHeadersToAdd: [
          add("x-answer-order", "route"),
          add("content-type", "application/x", "OVERWRITE_IF_EXISTS_OR_ADD"),
        ],
      }),
      prefix("/bytes", {
        directResponse: { status: 200, body: { inlineBytes: Buffer.from("bytes").toString("base64") } },
      }),
    ],
  },
];
