import assert from "node:assert/strict";
import { test } from "node:test";
import { formatError } from "@weft/core/error";
import { readFileResources } from "./file-resources.ts";

const header = "resources:\n";
const cluster = (fields: string): string => `- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster\n${fields}`;

test("a discovery response in YAML gives canonical resources with content versions", () => {
  const [one] = readFileResources(
    `version_info: "7"\n${header}${cluster("  name: a\n  connect_timeout: 1s\n")}`,
    "cds.yaml",
    "cluster",
  );
  assert.deepEqual(one?.json, { name: "a", connectTimeout: "1s" });
  const [same] = readFileResources(
    `{"resources":[{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","connectTimeout":"1s","name":"a"}]}`,
    "x",
    "cluster",
  );
  assert.equal(same?.version, one?.version);
});

const refused: readonly (readonly [title: string, text: string, expected: RegExp])[] = [
  ["no list", "version_info: 1\n", /WF3120 cds\.yaml:1:1 .*"resources"/],
  ["not YAML", "resources: [", /WF3100 cds\.yaml:/],
  ["another type", `${header}- "@type": x\n`, /WF3120 cds\.yaml:2:3 @type is x/],
  ["an unknown field", `${header}${cluster("  name: a\n  nmae: b\n")}`, /WF3120 cds\.yaml:4:3 nmae: there is no field/],
  [
    "a name twice",
    `${header}${cluster("  name: a\n")}${cluster("  name: a\n")}`,
    /WF3120 cds\.yaml:4:3 "a" is there twice/,
  ],
  ["no name", `${header}${cluster("  connect_timeout: 1s\n")}`, /has no name/],
];
for (const [title, text, expected] of refused) {
  test(`a file with ${title} is refused with its place`, () => {
    try {
      readFileResources(text, "cds.yaml", "cluster");
      assert.fail("taken");
    } catch (error) {
      assert.match(formatError(error), expected);
    }
  });
}
