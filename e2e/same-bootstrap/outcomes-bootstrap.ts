/** A bootstrap whose routes end in every way a request can end, and the listeners that log or rewrite it. */
import type { BootstrapPorts } from "./pair.ts";
import {
  always,
  cluster,
  connectionManager,
  denies,
  fault,
  faultOf,
  grpcWeb,
  listener,
  logTo,
  prefix,
  router,
  routes,
  speaksHttp2,
  tcp,
} from "./parts.ts";

export interface OutcomePorts {
  readonly rude: number;
  readonly http2: number;
  readonly closed: number;
}

const rude = (path: string, rest: object = {}, more: object = {}): object =>
  prefix(path, { route: { cluster: "rude", ...rest }, ...more });
const backOff = { baseInterval: "0.001s" };
const retries = (retryOn: string, rest: object = {}): object => ({
  retryPolicy: { retryOn, numRetries: 2, retryBackOff: backOff, ...rest },
});
const grpcRetries = (path: string, retryOn: string, rest: object = {}): object =>
  prefix(path, { route: { cluster: "http2", ...retries(retryOn, { numRetries: 1, ...rest }) } });
const aborting = (path: string, abort: object, cluster = "rude"): object =>
  prefix(path, {
    route: { cluster },
    typedPerFilterConfig: faultOf({ abort: { ...abort, percentage: always } }),
  });

const outcomeRoutes: readonly object[] = [
  rude("/silent-idle", { prefixRewrite: "/silent", timeout: "0s", idleTimeout: "0.2s" }),
  rude("/silent-long", { prefixRewrite: "/silent", timeout: "0s" }),
  rude("/stall-idle", { prefixRewrite: "/stall", timeout: "0s", idleTimeout: "0.2s" }),
  rude("/stall-long", { prefixRewrite: "/stall", timeout: "0s" }),
  rude("/silent", { timeout: "0.2s" }),
  rude("/stall", { timeout: "0.2s" }),
  rude("/longest", { prefixRewrite: "/silent", timeout: "0s", maxStreamDuration: { maxStreamDuration: "0.2s" } }),
  rude("/tries", { prefixRewrite: "/silent", timeout: "3s", ...retries("reset", { perTryTimeout: "0.1s" }) }),
  rude("/tryonce", {
    prefixRewrite: "/silent",
    timeout: "3s",
    ...retries("5xx", { perTryTimeout: "0.1s", numRetries: 0 }),
  }),
  rude("/again", { prefixRewrite: "/hangup", ...retries("5xx") }),
  rude("/resets", { prefixRewrite: "/reset", ...retries("reset") }),
  rude("/codes", { prefixRewrite: "/early", ...retries("retriable-status-codes", { retriableStatusCodes: [413] }) }),
  rude("/rewrite", { prefixRewrite: "/toend" }),
  prefix("/noretry", { route: { cluster: "noretry", prefixRewrite: "/hangup", ...retries("5xx") } }),
  prefix("/empty", { route: { cluster: "empty" } }),
  prefix("/refused-again", { route: { cluster: "refused", ...retries("connect-failure") } }),
  prefix("/refused", { route: { cluster: "refused" } }),
  prefix("/full", { route: { cluster: "full" } }),
  prefix("/pending", { route: { cluster: "pending" } }),
  prefix("/missing-500", { route: { cluster: "nowhere", clusterNotFoundResponseCode: "INTERNAL_SERVER_ERROR" } }),
  prefix("/missing", { route: { cluster: "nowhere" } }),
  prefix("/direct", { directResponse: { status: 418, body: { inlineString: "short" } } }),
  prefix("/bodiless", { directResponse: { status: 503 } }),
  prefix("/redirect", { redirect: { hostRedirect: "new.example" } }),
  aborting("/abort-grpc", { grpcStatus: 7 }, "http2"),
  aborting("/abort", { httpStatus: 555 }),
  prefix("/delayed-abort", {
    route: { cluster: "rude" },
    typedPerFilterConfig: faultOf({
      delay: { fixedDelay: "0.02s", percentage: always },
      abort: { httpStatus: 500, percentage: always },
    }),
  }),
  prefix("/delay-long", {
    route: { cluster: "rude" },
    typedPerFilterConfig: faultOf({ delay: { fixedDelay: "5s", percentage: always } }),
  }),
  prefix("/delay", {
    route: { cluster: "rude" },
    typedPerFilterConfig: faultOf({ delay: { fixedDelay: "0.02s", percentage: always } }),
  }),
  prefix("/ws", { route: { cluster: "rude", upgradeConfigs: [{ upgradeType: "websocket" }] } }),
  prefix("/no-ws", { route: { cluster: "rude", upgradeConfigs: [{ upgradeType: "websocket", enabled: false }] } }),
  prefix("/h2/ws", { route: { cluster: "http2", upgradeConfigs: [{ upgradeType: "websocket" }] } }),
  {
    name: "connect",
    match: { connectMatcher: {} },
    route: { cluster: "rude", upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: {} }] },
  },
  prefix("/h2/", { route: { cluster: "http2", prefixRewrite: "/" } }),
  grpcRetries("/retry.Cancelled", "cancelled"),
  grpcRetries("/retry.Deadline", "deadline-exceeded"),
  grpcRetries("/retry.Exhausted", "resource-exhausted"),
  grpcRetries("/retry.Internal", "internal"),
  grpcRetries("/retry.Unavailable", "unavailable"),
  grpcRetries("/retry.Both", "cancelled,unavailable"),
  grpcRetries("/retry.Refused", "refused-stream"),
  grpcRetries("/retry.Reset", "reset"),
  prefix("/grpc.Waits", {
    route: { cluster: "http2", maxStreamDuration: { grpcTimeoutHeaderMax: "0.4s" }, timeout: "15s" },
  }),
  prefix("/grpc.Offset", {
    route: {
      cluster: "http2",
      maxStreamDuration: { grpcTimeoutHeaderMax: "0s", grpcTimeoutHeaderOffset: "0.05s" },
      timeout: "15s",
    },
  }),
  prefix("/grpc.Short", { route: { cluster: "http2", timeout: "0.2s" } }),
  prefix("/grpc.Tries", {
    route: { cluster: "http2", timeout: "5s", ...retries("cancelled", { perTryTimeout: "0.1s", numRetries: 1 }) },
  }),
  prefix("/grpc.", { route: { cluster: "http2" } }),
  rude("/"),
];

const noNumbers = { thresholds: [{ maxRequests: 0 }] };

/** Cases run beside each other: none is to use up the retries of another. */
const manyRetries = { circuitBreakers: { thresholds: [{ maxRetries: 100 }] } };

/** Filters of local_reply_config, the first that takes an answer rewrites it. */
const codeFilter = (value: number, op = "EQ"): object => ({
  statusCodeFilter: { comparison: { op, value: { defaultValue: value, runtimeKey: "none" } } },
});
const localReplyConfig = {
  mappers: [
    { filter: codeFilter(555), statusCode: 503, body: { inlineString: "injected, was %RESPONSE_CODE%" } },
    {
      filter: { responseFlagFilter: { flags: ["NR"] } },
      statusCode: 410,
      headersToAdd: [
        {
          header: { key: "x-why", value: "%RESPONSE_FLAGS% %RESPONSE_CODE%" },
          appendAction: "OVERWRITE_IF_EXISTS_OR_ADD",
        },
      ],
    },
    {
      filter: { responseFlagFilter: { flags: ["UF"] } },
      bodyFormatOverride: { jsonFormat: { code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", path: "%REQ(:path)%" } },
    },
    {
      filter: {
        andFilter: {
          filters: [codeFilter(503), { headerFilter: { header: { name: "x-plain", stringMatch: { exact: "1" } } } }],
        },
      },
      bodyFormatOverride: {
        textFormatSource: { inlineString: "<b>%LOCAL_REPLY_BODY%</b>" },
        contentType: "text/html; charset=UTF-8",
      },
    },
    { filter: codeFilter(504), body: { inlineString: "" } },
  ],
  bodyFormat: { textFormatSource: { inlineString: "%LOCAL_REPLY_BODY% [%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%]" } },
};

const manager = (log: string, rest: object = {}): object =>
  connectionManager({
    accessLog: logTo(log),
    normalizePath: true,
    routeConfig: routes(outcomeRoutes, {
      includeRequestAttemptCount: true,
      includeAttemptCountInResponse: true,
    }),
    httpFilters: [grpcWeb, denies("/forbidden"), fault, router],
    http2ProtocolOptions: { allowConnect: true },
    ...rest,
  });

export const outcomeListeners = ["plain", "mapped", "hasty", "strict", "idle"] as const;

export const outcomesBootstrap = (
  { listener: port, admin, log }: BootstrapPorts,
  { rude: rudePort, http2, closed }: OutcomePorts,
): object => ({
  node: { id: "same", cluster: "same" },
  admin: { address: tcp(admin) },
  staticResources: {
    listeners: [
      listener("plain", port("plain"), manager(log)),
      listener("mapped", port("mapped"), manager(log, { localReplyConfig })),
      listener(
        "hasty",
        port("hasty"),
        manager(log, { requestHeadersTimeout: "0.2s", requestTimeout: "0.3s", streamIdleTimeout: "5s" }),
      ),
      listener(
        "strict",
        port("strict"),
        manager(log, {
          commonHttpProtocolOptions: {
            maxHeadersCount: 20,
            maxStreamDuration: "0.3s",
            headersWithUnderscoresAction: "REJECT_REQUEST",
            maxRequestsPerConnection: 1,
          },
          maxRequestHeadersKb: 4,
          pathWithEscapedSlashesAction: "REJECT_REQUEST",
          upgradeConfigs: [{ upgradeType: "websocket" }],
        }),
      ),
      listener(
        "idle",
        port("idle"),
        manager(log, {
          streamIdleTimeout: "0.2s",
          commonHttpProtocolOptions: { idleTimeout: "0.3s" },
          pathWithEscapedSlashesAction: "UNESCAPE_AND_REDIRECT",
          serverHeaderTransformation: "APPEND_IF_ABSENT",
          alwaysSetRequestIdInResponse: true,
          via: "weft",
        }),
      ),
    ],
    clusters: [
      cluster("rude", [rudePort], manyRetries),
      cluster("http2", [http2], { ...speaksHttp2, ...manyRetries }),
      cluster("noretry", [rudePort], { circuitBreakers: { thresholds: [{ maxRetries: 0 }] } }),
      cluster("full", [rudePort], { circuitBreakers: noNumbers }),
      cluster("pending", [rudePort], { circuitBreakers: { thresholds: [{ maxPendingRequests: 0 }] } }),
      cluster("empty", []),
      cluster("refused", [closed], manyRetries),
    ],
  },
});
