/** Rules of LocalRateLimit that its schema cannot say. */
import type { RuleTools } from "./kind.ts";
import type { LocalRateLimitSpec } from "./local-rate-limit.ts";
import { isHeaderName, reporter } from "./rules.ts";

/** Errors that Envoy's HttpStatus has no name for. */
const unnamed = /^(418|419|420|425|427|430|43[2-9]|4[4-9]\d|509|51[2-9]|5[2-9]\d)$/;

export const validateLocalRateLimit = (spec: LocalRateLimitSpec, tools: RuleTools): void => {
  const { bad, both, missing, warn } = reporter(tools);
  const { per = "proxy", key, bucket, match } = spec;
  if (per === "key" && !key) missing([], "per: key needs key.header: name the header that tells buckets apart");
  if (per !== "key" && key) both(["key"], `key has no meaning with per: ${per}: write per: key, or remove it`);
  const { maxTokens, tokensPerFill = 1 } = bucket;
  if (tokensPerFill > maxTokens) {
    const message = `bucket.tokensPerFill ${tokensPerFill} is more than the bucket holds (${maxTokens}): raise maxTokens`;
    warn(["bucket", "tokensPerFill"], message);
  }
  const { status = 429 } = spec;
  if (unnamed.test(String(status)))
    warn(["status"], `status ${status} has no name in Envoy, which would answer 429: write one such as 429 or 503`);
  const path = match?.path;
  const plain = path?.exact ?? path?.prefix;
  if (path && Object.keys(path).length === 0)
    bad(["match", "path"], "match.path is empty: write exact, prefix or regex");
  if (plain !== undefined && !plain.startsWith("/")) {
    warn(["match", "path"], `match.path "${plain}" has no leading "/", so no request can match it: write "/${plain}"`);
  }
  for (const name of Object.keys(match?.headers ?? {})) {
    if (!isHeaderName(name)) bad(["match", "headers", name], `"${name}" is not a header name`);
  }
  for (const name of Object.keys(spec.responseHeaders ?? {})) {
    if (!isHeaderName(name)) bad(["responseHeaders", name], `"${name}" is not a header name`);
  }
};
