import assert from "node:assert/strict";
import { test } from "node:test";
import { destinationRule } from "../kinds/destination-rule.ts";
import { kinds } from "../kinds/index.ts";
import { virtualService } from "../kinds/virtual-service.ts";
import { codeReference } from "./code-reference.ts";
import { kindJsonSchema } from "./json-schema.ts";
import { kindReference } from "./kind-reference.ts";

test("a kind's reference lists every field with type, default and meaning", () => {
  const text = kindReference(virtualService);
  assert.match(text, /^# VirtualService\n/);
  assert.match(text, /\| `http\[\]\.match\[\]\.headers\.\*\.exact` \| text \|/);
  assert.match(text, /\| `http\[\]\.route\[\]\.destination` \*\*required\*\* \| object \|/);
  assert.match(text, /`networking\.istio\.io\/v1alpha3`/);
});

test("a kind's reference marks fields without effect and deprecated ones", () => {
  const text = kindReference(destinationRule);
  assert.match(text, /`trafficPolicy\.outlierDetection\.outlierDetectionHttpErrorCodes` .*\*\*no effect yet\*\*/);
  assert.match(text, /warmupDurationSecs` .*\*Deprecated: write warmup\.duration\.\*/);
});

test("every kind prints as a reference and as JSON Schema with a closed set of fields", () => {
  for (const kind of kinds) {
    assert.ok(kindReference(kind).startsWith(`# ${kind.name}\n`));
    const schema = kindJsonSchema(kind);
    assert.equal(schema.additionalProperties, kind.schema.open === true);
    assert.deepEqual(JSON.parse(JSON.stringify(schema)), schema);
  }
});

test("the reference of findings has a row and a section for each code", () => {
  const text = codeReference();
  assert.match(text, /\| WF1003 \| error \| a field is unknown \| IST0106 \|/);
  assert.match(text, /\n## WF1109 a rule is never reached\n/);
});
