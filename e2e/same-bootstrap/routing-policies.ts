/** Virtual hosts of the routing comparison: retries, faults, limits, copies, and the filters that routes steer. */
import { always, faultOf, prefix, type } from "./parts.ts";
import type { RoutingHost } from "./routing-hosts.ts";

const one = (path: string, action: object, more: object = {}): object =>
  prefix(path, { route: { cluster: "one", ...action }, ...more });
const keep = { regexRewrite: { pattern: { regex: "^/[^/]+" }, substitution: "" } };
const quick = { baseInterval: "0.001s" };
/** `/NAME/fail/…` goes upstream as `/fail/…`. */
const retried = (name: string, retryOn: string, rest: object = {}, action: object = {}): object =>
  one(`/${name}/`, {
    ...keep,
    timeout: "5s",
    retryPolicy: { retryOn, numRetries: 2, retryBackOff: quick, ...rest },
    ...action,
  });
const filter = (name: string, message: string, rest: object): object => ({
  [`envoy.filters.http.${name}`]: { "@type": type(`extensions.filters.http.${name}.v3.${message}`), ...rest },
});
const previousHosts = {
  name: "envoy.retry_host_predicates.previous_hosts",
  typedConfig: { "@type": type("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate") },
};
const never = { numerator: 0 };
const runtime = (defaultValue: object): object => ({ defaultValue, runtimeKey: "none" });
const on = runtime(always);
const bucket = (maxTokens: number, tokensPerFill = 1): object => ({ maxTokens, tokensPerFill, fillInterval: "600s" });
const limited = (path: string, rest: object, action: object = {}): object =>
  one(path, action, {
    typedPerFilterConfig: filter("local_ratelimit", "LocalRateLimit", {
      statPrefix: "limits",
      filterEnabled: on,
      filterEnforced: on,
      ...rest,
    }),
  });
const cors = (path: string, rest: object, more: object = {}): object =>
  one(path, {}, { typedPerFilterConfig: filter("cors", "CorsPolicy", rest), ...more });
const allowed = {
  allowOriginStringMatch: [{ exact: "http://ok.test" }, { safeRegex: { regex: "http://.*\\.ok\\.test" } }],
  allowMethods: "GET,PUT",
  allowHeaders: "x-a,x-b",
  exposeHeaders: "x-e",
  maxAge: "60",
};
const mutation = (key: string, value: string): object => ({ append: { header: { key, value } } });

export const policyHosts: readonly RoutingHost[] = [
  {
    name: "retries",
    includeRequestAttemptCount: true,
    includeAttemptCountInResponse: true,
    includeIsTimeoutRetryHeader: true,
    routes: [
      retried("5xx", "5xx"),
      retried("gateway", "gateway-error"),
      retried("reset", "reset"),
      retried("before", "reset-before-request"),
      retried("4xx", "retriable-4xx"),
      retried("codes", "retriable-status-codes", { retriableStatusCodes: [418, 409] }),
      retried("by-headers", "retriable-headers", {
        retriableHeaders: [
          { name: "x-again", stringMatch: { exact: "yes" } },
          { name: ":status", stringMatch: { exact: "404" } },
        ],
      }),
      retried("limited", "envoy-ratelimited"),
      retried("limited-5xx", "5xx"),
      retried("grpc", "unavailable,cancelled"),
      retried("unknown", "nonsense,5xx"),
      retried("requests", "5xx", {
        retriableRequestHeaders: [{ name: ":method", stringMatch: { exact: "GET" } }, { name: "x-try" }],
      }),
      retried("none", "5xx", { numRetries: 0 }),
      retried("asked", "retriable-status-codes", {
        retriableStatusCodes: [429],
        rateLimitedRetryBackOff: { resetHeaders: [{ name: "retry-after" }], maxInterval: "1s" },
      }),
      retried("hosts", "5xx", {
        retryHostPredicate: [previousHosts],
        hostSelectionRetryMaxAttempts: "5",
      }),
      retried("typed", "5xx", {
        retryHostPredicate: [
          previousHosts,
          {
            name: "envoy.retry_host_predicates.omit_canary_hosts",
            typedConfig: { "@type": type("extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate") },
          },
          {
            name: "envoy.retry_host_predicates.omit_host_metadata",
            typedConfig: {
              "@type": type("extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig"),
              metadataMatch: { filterMetadata: { "envoy.lb": { stage: "no" } } },
            },
          },
        ],
        hostSelectionRetryMaxAttempts: "3",
      }),
      retried(
        "priorities",
        "5xx",
        {
          retryPriority: {
            name: "envoy.retry_priorities.previous_priorities",
            typedConfig: {
              "@type": type("extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"),
              updateFrequency: 1,
            },
          },
        },
        { cluster: "tiers" },
      ),
      retried("try", "5xx", { perTryTimeout: "0.15s", numRetries: 1 }),
      retried("try-connect", "connect-failure", { perTryTimeout: "0.15s", numRetries: 1 }),
      retried("rest", "5xx", { perTryIdleTimeout: "0.15s", numRetries: 1 }),
      retried(
        "hedged",
        "5xx",
        { perTryTimeout: "0.1s", numRetries: 1 },
        { hedgePolicy: { hedgeOnPerTryTimeout: true } },
      ),
      one("/plain/", { ...keep, timeout: "5s" }),
      one(
        "/small/",
        { ...keep, retryPolicy: { retryOn: "5xx", retryBackOff: quick } },
        { perRequestBufferLimitBytes: 10 },
      ),
      one("/timeout/", { ...keep, timeout: "0.2s" }),
      one("/refused/", { cluster: "refused", retryPolicy: { retryOn: "connect-failure", retryBackOff: quick } }),
    ],
  },
  {
    name: "host-retries",
    retryPolicy: { retryOn: "5xx", numRetries: 1, retryBackOff: quick },
    includeRequestAttemptCount: true,
    routes: [
      one("/inherit/", keep),
      one("/own/", { ...keep, retryPolicy: { retryOn: "retriable-4xx", retryBackOff: quick } }),
    ],
  },
  {
    name: "clusters",
    routes: [
      prefix("/by-value", {
        route: {
          weightedClusters: {
            headerName: "x-random",
            clusters: [
              { name: "one", weight: 30 },
              { name: "two", weight: 70 },
            ],
          },
        },
      }),
      prefix("/filters", {
        route: {
          weightedClusters: {
            headerName: "x-random",
            clusters: [
              {
                name: "one",
                weight: 1,
                typedPerFilterConfig: faultOf({ abort: { httpStatus: 418, percentage: always } }),
              },
              { name: "two", weight: 1 },
            ],
          },
        },
      }),
      prefix("/zero", {
        route: {
          weightedClusters: {
            clusters: [
              { name: "one", weight: 0 },
              { name: "two", weight: 5 },
            ],
          },
        },
      }),
      prefix("/staged", {
        route: {
          metadataMatch: { filterMetadata: { "envoy.lb": { tier: "a" } } },
          weightedClusters: {
            headerName: "x-random",
            clusters: ["one", "two", "nowhere"].map((stage) => ({
              name: "stages",
              weight: 1,
              metadataMatch: { filterMetadata: { "envoy.lb": { stage } } },
            })),
          },
        },
      }),
      one("/few", { cluster: "tight" }),
      one("/many", { cluster: "tight", priority: "HIGH" }),
      prefix("/named", { route: { clusterHeader: "x-cluster" } }),
      prefix("/weighted-named", {
        route: { weightedClusters: { clusters: [{ clusterHeader: "x-cluster", weight: 1 }] } },
      }),
    ],
  },
  {
    name: "hashes",
    routes: [
      one("/header", { cluster: "ring", hashPolicy: [{ header: { headerName: "x-user" } }] }),
      one("/rewritten", {
        cluster: "ring",
        hashPolicy: [
          { header: { headerName: "x-user", regexRewrite: { pattern: { regex: "-.*" }, substitution: "" } } },
        ],
      }),
      one("/query", { cluster: "ring", hashPolicy: [{ queryParameter: { name: "user" } }] }),
      one("/cookie", { cluster: "ring", hashPolicy: [{ cookie: { name: "session" } }] }),
      one("/made", {
        cluster: "lone",
        hashPolicy: [
          { cookie: { name: "session", ttl: "3600s", path: "/p", attributes: [{ name: "SameSite", value: "Lax" }] } },
        ],
      }),
      one("/unhashed", { hashPolicy: [{ cookie: { name: "session", ttl: "60s" } }] }),
      one("/lasting", { cluster: "lone", hashPolicy: [{ cookie: { name: "session", ttl: "0s" } }] }),
      one("/terminal", {
        cluster: "ring",
        hashPolicy: [{ header: { headerName: "x-user" }, terminal: true }, { header: { headerName: "x-other" } }],
      }),
      one("/two", {
        cluster: "ring",
        hashPolicy: [{ header: { headerName: "x-user" } }, { header: { headerName: "x-other" } }],
      }),
      one("/source", { cluster: "ring", hashPolicy: [{ connectionProperties: { sourceIp: true } }] }),
      one("/maglev", { cluster: "maglev", hashPolicy: [{ header: { headerName: "x-user" } }] }),
    ],
  },
  {
    name: "mirrors",
    routes: [
      one("/suffix", { requestMirrorPolicies: [{ cluster: "shadow" }] }),
      one("/same", { requestMirrorPolicies: [{ cluster: "shadow", disableShadowHostSuffixAppend: true }] }),
      one("/none", { requestMirrorPolicies: [{ cluster: "shadow", runtimeFraction: runtime(never) }] }),
      one("/all", { requestMirrorPolicies: [{ cluster: "shadow", runtimeFraction: on }, { cluster: "shadow" }] }),
      one("/named", { requestMirrorPolicies: [{ clusterHeader: "x-shadow" }] }),
      one("/rewritten", { prefixRewrite: "/new", requestMirrorPolicies: [{ cluster: "shadow" }] }),
    ],
  },
  {
    name: "limits",
    rateLimits: [{ actions: [{ genericKey: { descriptorValue: "host" } }] }],
    routes: [
      limited("/two", { tokenBucket: bucket(2) }),
      limited("/tells", { tokenBucket: bucket(2), enableXRatelimitHeaders: "DRAFT_VERSION_03" }),
      limited("/status", { tokenBucket: bucket(1), status: { code: "ServiceUnavailable" } }),
      limited("/adds", {
        tokenBucket: bucket(1),
        responseHeadersToAdd: [{ header: { key: "x-limited", value: "yes" } }],
      }),
      limited("/soft", {
        tokenBucket: bucket(1),
        filterEnforced: runtime(never),
        requestHeadersToAddWhenNotEnforced: [{ header: { key: "x-over", value: "yes" } }],
      }),
      limited("/off", { tokenBucket: bucket(1), filterEnabled: runtime(never) }),
      limited("/grpc", { tokenBucket: bucket(1), rateLimitedAsResourceExhausted: true }),
      limited("/per-connection", { tokenBucket: bucket(1), localRateLimitPerDownstreamConnection: true }),
      limited(
        "/described",
        {
          tokenBucket: bucket(100),
          descriptors: [{ entries: [{ key: "user", value: "ann" }], tokenBucket: bucket(1) }],
        },
        { rateLimits: [{ actions: [{ requestHeaders: { headerName: "x-user", descriptorKey: "user" } }] }] },
      ),
      limited("/host-described", {
        tokenBucket: bucket(100),
        descriptors: [{ entries: [{ key: "generic_key", value: "host" }], tokenBucket: bucket(1) }],
      }),
      limited(
        "/matched",
        {
          tokenBucket: bucket(100),
          descriptors: [
            {
              entries: [
                { key: "header_match", value: "post" },
                { key: "k", value: "v" },
              ],
              tokenBucket: bucket(1),
            },
          ],
        },
        {
          rateLimits: [
            {
              actions: [
                {
                  headerValueMatch: {
                    descriptorValue: "post",
                    headers: [{ name: ":method", stringMatch: { exact: "POST" } }],
                  },
                },
                { genericKey: { descriptorKey: "k", descriptorValue: "v" } },
              ],
            },
          ],
        },
      ),
    ],
  },
  {
    name: "filters",
    typedPerFilterConfig: filter("header_mutation", "HeaderMutationPerRoute", {
      mutations: { requestMutations: [mutation("x-order", "host")], responseMutations: [mutation("x-back", "host")] },
    }),
    routes: [
      cors("/cors", allowed),
      cors("/cors-credentials", { ...allowed, allowCredentials: true }),
      cors("/cors-strict", { ...allowed, forwardNotMatchingPreflights: false }),
      cors("/cors-off", { ...allowed, filterEnabled: runtime(never) }),
      one(
        "/cors-any",
        {},
        { typedPerFilterConfig: filter("cors", "CorsPolicy", { allowOriginStringMatch: [{ prefix: "h" }] }) },
      ),
      one(
        "/abort-header",
        {},
        {
          typedPerFilterConfig: faultOf({ abort: { headerAbort: {}, percentage: always } }),
        },
      ),
      one("/abort-grpc", {}, { typedPerFilterConfig: faultOf({ abort: { grpcStatus: 14, percentage: always } }) }),
      one(
        "/abort-some",
        {},
        {
          typedPerFilterConfig: faultOf({
            abort: { httpStatus: 503, percentage: always },
            headers: [{ name: "x-fault", presentMatch: true }],
          }),
        },
      ),
      one(
        "/abort-upstream",
        {},
        {
          typedPerFilterConfig: faultOf({ abort: { httpStatus: 503, percentage: always }, upstreamCluster: "two" }),
        },
      ),
      one("/abort-never", {}, { typedPerFilterConfig: faultOf({ abort: { httpStatus: 503, percentage: never } }) }),
      one(
        "/delay-header",
        {},
        {
          typedPerFilterConfig: faultOf({ delay: { headerDelay: {}, percentage: always } }),
        },
      ),
      one(
        "/delay-none",
        {},
        {
          typedPerFilterConfig: faultOf({ delay: { fixedDelay: "9s", percentage: always }, maxActiveFaults: 0 }),
        },
      ),
      one("/buffer-off", {}, { typedPerFilterConfig: filter("buffer", "BufferPerRoute", { disabled: true }) }),
      one(
        "/buffer",
        {},
        { typedPerFilterConfig: filter("buffer", "BufferPerRoute", { buffer: { maxRequestBytes: 10 } }) },
      ),
      one(
        "/mutate-off",
        {},
        {
          typedPerFilterConfig: {
            "envoy.filters.http.header_mutation": { "@type": type("config.route.v3.FilterConfig"), disabled: true },
          },
        },
      ),
      one(
        "/mutate",
        {},
        {
          typedPerFilterConfig: filter("header_mutation", "HeaderMutationPerRoute", {
            mutations: {
              requestMutations: [{ remove: "x-gone" }, mutation("x-order", "route")],
              responseMutations: [{ remove: "content-type" }, mutation("x-back", "route")],
            },
          }),
        },
      ),
      one(
        "/optional",
        {},
        {
          typedPerFilterConfig: {
            "envoy.filters.http.optional": {
              "@type": type("config.route.v3.FilterConfig"),
              config: { "@type": type("extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute") },
            },
          },
        },
      ),
      one(
        "/state",
        {},
        {
          requestHeadersToAdd: [
            { header: { key: "x-state", value: "%FILTER_STATE(test.path:PLAIN)%" } },
            { header: { key: "x-metadata", value: "%DYNAMIC_METADATA(test.space:color)%" } },
            { header: { key: "x-nested", value: "%DYNAMIC_METADATA(test.space:in:deep)%" } },
          ],
        },
      ),
      one("/", {}),
    ],
  },
  {
    name: "followed",
    routes: [
      one("/go/", { ...keep, internalRedirectPolicy: {} }),
      one("/twice/", {
        ...keep,
        internalRedirectPolicy: { maxInternalRedirects: 2, redirectResponseCodes: [302, 303, 307] },
      }),
      one("/not/", { ...keep, internalRedirectPolicy: { redirectResponseCodes: [307] } }),
      one("/cross/", {
        ...keep,
        internalRedirectPolicy: { allowCrossSchemeRedirect: true, responseHeadersToCopy: ["x-copied"] },
      }),
      one("/plain/", keep),
      one("/target", { prefixRewrite: "/arrived" }),
    ],
  },
];
