import assert from "node:assert/strict";
import { test } from "node:test";
import { addCounts, countsOf, ratesBetween } from "./measure.ts";

const text = (ok: number, failed: number): string => `
istio_requests_total{reporter="destination",response_code="200",connection_security_policy="mutual_tls"} ${ok}
istio_requests_total{reporter="destination",response_code="503",connection_security_policy="none"} ${failed}
istio_requests_total{reporter="source",response_code="200"} 999
istio_request_duration_milliseconds_bucket{reporter="destination",le="1"} ${ok}
istio_request_duration_milliseconds_bucket{reporter="destination",le="+Inf"} ${ok + failed}
`;

test("only what arrived counts, with its success and mTLS share", () => {
  const counts = countsOf(text(8, 2));
  assert.deepEqual([counts.requests, counts.succeeded, counts.mutualTls], [10, 8, 8]);
});

test("rates are of the time between two readings", () => {
  const rates = ratesBetween(countsOf(text(8, 2)), countsOf(text(16, 4)), 2);
  assert.deepEqual([rates.rps, rates.success, rates.mtls], [5, 0.8, 0.8]);
  assert.ok(rates.p50 > 0 && rates.p50 <= 1);
});

test("nothing arrived is neither failure nor plaintext", () => {
  const counts = countsOf(text(1, 0));
  assert.deepEqual(ratesBetween(counts, counts, 1), { rps: 0, success: 1, mtls: 1, p50: 0, p99: 0 });
});

test("workloads of a service add up", () => {
  assert.equal(addCounts([countsOf(text(1, 0)), countsOf(text(2, 1))]).requests, 4);
});
