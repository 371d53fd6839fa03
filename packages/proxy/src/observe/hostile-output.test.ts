import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessLogJson } from "@weft/xds/gen/envoy/config/accesslog/v3/accesslog";
import fc from "fast-check";
import { compileTools, downstream, exchange, request, testClock, tlsInfo } from "../compile/testing/fixtures.ts";
import type { Exchange } from "../http/exchange.ts";
import { compileAccessLog } from "./access-log.ts";
import { createStats } from "./create-stats.ts";
import { createIstioMetrics } from "./istio-metrics.ts";
import { printStats } from "./print-stats.ts";
import { printPrometheus } from "./prometheus.ts";
import { createTextOut } from "./text-out.ts";

const logOf = (logFormat: object): ((parts: Partial<Exchange>) => string) => {
  let out = "";
  const json = {
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      path: "/dev/stdout",
      logFormat,
    } as object,
  } as AccessLogJson;
  const compiled = compileAccessLog([json], "accessLog", {
    ...compileTools(undefined, testClock()),
    open: () =>
      createTextOut((line) => {
        out += line;
      }),
  });
  return (parts) => {
    out = "";
    compiled?.http(exchange(parts));
    return out;
  };
};

const operators = [
  "REQ(:METHOD)",
  "REQ(:PATH)",
  "REQ(:AUTHORITY)",
  "REQ(X-A)",
  "DOWNSTREAM_PEER_SUBJECT",
  "QUERY_PARAM(q)",
];
const inText = logOf({ textFormatSource: { inlineString: `${operators.map((name) => `"%${name}%"`).join(" ")}\n` } });
const inJson = logOf({ jsonFormat: Object.fromEntries(operators.map((name) => [name, `%${name}%`])) });
const mixed = logOf({ jsonFormat: { all: operators.map((name) => `[%${name}%]`).join(" ") } });

/** Ends of lines, quotation marks, terminal sequences of both kinds, and bytes that are no UTF-8, in any order. */
const nasty = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '"',
        "\\",
        "\r",
        "\n",
        "\0",
        "\x1b[31m",
        "\x9b2J",
        "\x7f",
        "\t",
        "{",
        "}",
        "%",
        "\ud800",
        "\u2028",
      ),
      fc.string({ unit: "binary", maxLength: 3 }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(""));

const control = /\p{Cc}/u;

test("whatever peers say, a log line is one line, and its values are read back as they were", () => {
  fc.assert(
    fc.property(nasty, nasty, (value, path) => {
      const parts: Partial<Exchange> = {
        request: request(
          `/${path}?q=${value.replace(/[&#]/g, "")}`,
          { "x-a": value },
          { method: `M${value}`, authority: value },
        ),
        downstream: downstream({ tls: tlsInfo({ peerSubject: value }) }),
      };
      for (const line of [inText(parts), inJson(parts), mixed(parts)]) {
        assert.equal(line.indexOf("\n"), line.length - 1);
        assert.equal(control.test(line.slice(0, -1)), false);
      }
      const fields = [...inText(parts).matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(
        ([quoted]) => JSON.parse(quoted) as string,
      );
      assert.equal(fields.length, operators.length);
      const json = JSON.parse(inJson(parts)) as Record<string, string>;
      // What is no character cannot be written as UTF-8.
      const sent = value.toWellFormed();
      const expected = sent === "" ? "-" : sent;
      assert.deepEqual([fields[0], fields[2], fields[3], fields[4]], [`M${sent}`, expected, expected, expected]);
      const read = [json["REQ(:METHOD)"], json["REQ(:PATH)"]].map((text) => text?.toWellFormed());
      assert.deepEqual(read, [`M${sent}`, parts.request?.path.toWellFormed()]);
    }),
  );
});

/** The text exposition format, line by line. */
const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const sample = new RegExp(`^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\\{(?:${label},?)*\\})? (?:[-+0-9.eE]+|NaN|[+-]Inf)$`);
const assertParses = (text: string): void => {
  for (const line of text.split("\n").slice(0, -1)) {
    if (!line.startsWith("# TYPE ")) assert.match(line, sample);
  }
  assert.ok(text === "" || text.endsWith("\n"));
};

test("names and labels of any bytes print as metrics that parse", () => {
  fc.assert(
    fc.property(nasty, (name) => {
      const stats = createStats();
      stats.counter(`cluster.${name}.upstream_rq_total`).add(1);
      stats.counter(`listener.${name}.http.${name}.downstream_rq_2xx`).add(1);
      stats.gauge(name).set(1);
      stats.histogram(`http.${name}.downstream_rq_time`).record(1);
      stats
        .labelledCounter("istio_requests_total", [
          ["source_app", name],
          [name, "x"],
        ])
        .add(1);
      assertParses(printPrometheus(stats.series(), {}));
      for (const line of printStats(stats.series(), {}).split("\n"))
        assert.equal(control.test(line), false, JSON.stringify(line));
    }),
  );
});

const node = { id: "n", cluster: "", metadata: { WORKLOAD_NAME: "web", NAMESPACE: "shop" } };

test("200,000 distinct paths, hosts, names and agents make few series", () => {
  for (const direction of ["inbound", "outbound"] as const) {
    const stats = createStats();
    const metrics = createIstioMetrics({ stats, node, clock: testClock(), hostHeaderFallback: true });
    for (let i = 0; i < 200_000; i++)
      metrics.request(
        exchange({
          request: request(`/${i}`, { "user-agent": `a${i}`, "x-request-id": `${i}` }, { authority: `h${i}.example` }),
          downstream: downstream({ direction, tls: tlsInfo({ sni: `s${i}.example` }), requestedServerName: `s${i}` }),
        }),
      );
    const names = new Set<string>();
    let total = 0;
    for (const series of stats.series()) {
      names.add(`${series.name} ${JSON.stringify(series.labels)}`);
      if (series.name === "istio_requests_total" && series.type === "counter") total += series.value;
    }
    assert.ok(names.size <= 2000, `${direction}: ${names.size} series`);
    assert.equal(total, 200_000, direction);
  }
});

test("a value is escaped whatever came before it", () => {
  const line = logOf({ textFormat: '"%REQ(X-A)%" "%REQ(X-B)%"\n' });
  const values = ["a", 'a"', "a", "\n", "\n", "a\n", "a"];
  const escaped = ["a", 'a\\"', "a", "\\u000a", "\\u000a", "a\\u000a", "a"];
  for (const [i, value] of values.entries()) {
    for (const other of ["a", value, 'a"']) {
      const text = line({ request: request("/", { "x-a": value, "x-b": other }) });
      const second = values.indexOf(other);
      assert.equal(text, `"${escaped[i]}" "${escaped[second]}"\n`);
    }
  }
});
