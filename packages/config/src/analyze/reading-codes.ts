/** Codes of what a text, a document or one object can have wrong; `parseConfig` finds them. */

import { alsoOf } from "../schema/also.ts";
import type { Level } from "../schema/problem.ts";
import type { CodeFacts } from "./analyzer.ts";

const codeFacts = (code: string, level: Level, title: string, explain: string): CodeFacts => ({
  code,
  level,
  also: alsoOf(code),
  title,
  explain,
});

export const readingCodes: readonly CodeFacts[] = [
  codeFacts(
    "WF1001",
    "error",
    "the text is not YAML",
    `The document cannot be read as YAML or JSON; the place is where reading stopped, and the slip is there
or just before. Other documents of the file are not affected. Common causes: tabs as indentation, a
colon without a space, a quote left open, indentation that does not line up.`,
  ),
  codeFacts(
    "WF1002",
    "error",
    "the kind or its apiVersion is unknown",
    `An API group of Istio, or one that weft reads, has no such kind or version. Kinds of other systems are
accepted and have no effect.`,
  ),
  codeFacts(
    "WF1003",
    "error",
    "a field is unknown",
    `The object has no such field; the message names the nearest one. Fields are in lowerCamelCase and often
one level higher or lower than thought. The whole object is refused, so that a misspelt rule is never
half in force.`,
  ),
  codeFacts(
    "WF1004",
    "error",
    "a value has the wrong type",
    `The field takes another type. Numbers and words such as true or 1.10 that are meant as texts (labels, versions)
need quotes.`,
  ),
  codeFacts("WF1005", "error", "a field is missing", `The object cannot work without the field.`),
  codeFacts(
    "WF1006",
    "error",
    "a value is not allowed",
    `The value has the right type and is out of range, malformed, or does not fit with another. As a warning:
the value is allowed and does nothing or is likely a slip.`,
  ),
  codeFacts(
    "WF1007",
    "error",
    "two fields exclude each other",
    `Only one of the fields may be given. Keep the one that is meant.`,
  ),
  codeFacts(
    "WF1008",
    "error",
    "the text is beyond a bound",
    `The file is too large, has too many documents, nests too deep, or its aliases expand to too much. Split it.`,
  ),
  codeFacts(
    "WF1009",
    "error",
    "the object's name is not valid",
    `Every object needs \`metadata.name\`; names and namespaces are lower-case letters, digits and dashes.`,
  ),
  codeFacts(
    "WF1010",
    "warning",
    "a document is no object",
    `The document has neither apiVersion nor kind, so it is a part of some object or another ` +
      `program's file. It is ignored.`,
  ),
  codeFacts(
    "WF1011",
    "info",
    "a kind has no effect",
    `The object is recognised and accepted, so that whole directories can be applied, and ` +
      `nothing in the mesh acts on it.`,
  ),
  codeFacts(
    "WF1012",
    "error",
    "a key stands twice",
    `A map has the same key twice. YAML leaves open which holds, so one of them would be lost.`,
  ),
  codeFacts(
    "WF1013",
    "info",
    "the file holds Envoy resources",
    `These are listeners, clusters, routes or endpoints in Envoy's own language. A sidecar takes them from
its bootstrap or from files the bootstrap names; the control plane makes its own.`,
  ),
  codeFacts(
    "WF1014",
    "warning",
    "a field is deprecated",
    `The field still works, unless the message says that it does not. Write what the message says.`,
  ),
];
