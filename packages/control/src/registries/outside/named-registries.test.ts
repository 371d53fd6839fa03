import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { parseEtcdUrl } from "../etcd/etcd-driver.ts";
import type { Driver } from "./driver.ts";
import { type FindCredentials, nameRegistries, parseCredentials, registriesMax } from "./named-registries.ts";
import { registryDrivers } from "./registry-drivers.ts";
import { addressesMax, parseRegistryUrl } from "./registry-url.ts";

const opened: string[] = [];
const driver = (scheme: string): Driver => ({
  scheme,
  usage: `${scheme}://HOST:PORT`,
  open: (url, credentials) => {
    opened.push(`${url.path} ${[...url.options.keys()]} ${credentials?.().username ?? "nobody"}`);
    return () => ({ [Symbol.dispose]: () => undefined });
  },
});
const drivers = [driver("one"), driver("two")];
const find: FindCredentials = (_, file) =>
  file === undefined ? undefined : () => ({ username: file, password: "secret" });
const name = (urls: readonly string[], credentials: readonly string[] = []) =>
  nameRegistries({ urls, credentials }, drivers, find);
const refused = (act: () => unknown, code: string, text: RegExp) =>
  assert.throws(act, (error) => {
    assert.ok(error instanceof WeftError);
    assert.equal(error.code, code);
    assert.match(`${error.message} ${error.next}`, text);
    assert.doesNotMatch(`${error.message} ${error.next}`, /secret/);
    return true;
  });

test("registries are named by their scheme, with a number from the second on, or as the URL says", () => {
  opened.length = 0;
  const named = name(["one://a:1/x", "embedded:", "one://a:1/y", "two://b:2?name=prod&k=v"], ["prod=file"]);
  assert.deepEqual(
    named.map((one) => one.name),
    ["one", "one-2", "prod"],
  );
  assert.deepEqual(opened, ["/x  nobody", "/y  nobody", " k file"]);
});

test("weft's own registry is named by its scheme alone", () => {
  assert.deepEqual(name(["embedded:", "EMBEDDED://"]), []);
  for (const text of ["embedded:/x", "embedded://a:1", "embedded:?name=x"])
    refused(() => name([text]), "WF2102", /says more than embedded:/);
});

test("what tells one registry's content from another's is not its addresses", () => {
  const [content] = [...name(["one://a:1/x"])].map((one) => one.content);
  assert.equal(name(["one://b:2,c:3/x"])[0]?.content, content);
  assert.notEqual(name(["one://a:1/y"])[0]?.content, content);
});

test("a kind nobody knows is refused with those there are", () => {
  refused(
    () => name(["three://a:1"]),
    "WF2101",
    /kind three.*one:\/\/HOST:PORT {2}two:\/\/HOST:PORT {2}kubernetes:.* {2}file:\/\/\/FOLDER {2}embedded:/,
  );
  refused(() => name(["three://x"]), "WF2101", /kind three/);
  refused(
    () => nameRegistries({ urls: ["http://a:1"], credentials: [] }, registryDrivers, find),
    "WF2101",
    /etcd:\/\//,
  );
});

test("wrong names and credentials of nobody are refused", () => {
  refused(() => name(["one://a:1?name=A"]), "WF2102", /name "A"/);
  refused(() => name(["one://a:1", "two://a:1?name=one"]), "WF2102", /another registry has/);
  refused(() => name(["one://a:1"], ["two=file"]), "WF2103", /two, which is no registry.*one of one/);
  refused(() => name(["one://a:1"], ["file"]), "WF2103", /NAME=FILE/);
  refused(() => name(Array.from({ length: registriesMax + 1 }, () => "one://a:1")), "WF2102", /more than/);
});

test("a URL has several addresses, a path and options, and never a password", () => {
  const { scheme, addresses, path, options } = parseRegistryUrl("ETCD://a:1,[::1]:2/x%20y?k=v");
  assert.deepEqual(
    [scheme, addresses, path, [...options]],
    [
      "etcd",
      [
        { host: "a", port: 1 },
        { host: "::1", port: 2 },
      ],
      "/x y",
      [["k", "v"]],
    ],
  );
  refused(() => parseRegistryUrl("etcd://me:secret@a:1/x"), "WF2102", /password.*--registry-credentials/);
  refused(() => parseRegistryUrl("//a:1/x"), "WF2102", /is not a URL/);
  const wrong = ["", "etcd", "etcd://a/x", "etcd://a:0/x", "etcd://a:1,/x", "etcd://a:1/%", "etcd://a:1/x?k=1&k=2"];
  for (const text of wrong) refused(() => parseRegistryUrl(text), "WF2102", /the registry's URL/);
  const many = Array.from({ length: addressesMax + 1 }, () => "a:1").join(",");
  refused(() => parseRegistryUrl(`etcd://${many}/x`), "WF2102", /more than/);
});

test("credentials are one line, and are never shown", () => {
  assert.deepEqual(parseCredentials("me:se:cret\n", "f"), { username: "me", password: "se:cret" });
  for (const text of ["", "secret", ":secret", "me:secret\nmore:secret"])
    refused(() => parseCredentials(text, "f"), "WF2103", /f does not hold credentials/);
});

test("etcd's URL names a path or a prefix, and files for TLS that are there", () => {
  const parse = (text: string) => parseEtcdUrl(parseRegistryUrl(text), undefined);
  assert.equal(parse("etcd://a:1/weft").prefix, "/weft/");
  assert.equal(parse("etcd://a:1/weft//").prefix, "/weft/");
  assert.equal(parse("etcd://a:1?prefix=grpc/").prefix, "grpc/");
  assert.equal(parse("etcd://a:1/x?ca=/dev/null").tls?.caFile, "/dev/null");
  for (const text of [
    "etcd:///x",
    "etcd://a:1",
    "etcd://a:1/",
    "etcd://a:1?prefix=",
    "etcd://a:1/x?other=1",
    "etcd://a:1/x?tls=true",
    "etcd://a:1/x?tls=maybe",
    "etcd://a:1/x?tls=false&ca=/dev/null",
    "etcd://a:1/x?cert=/dev/null",
    "etcd://a:1/x?ca=/dev/null&key=/dev/null",
    "etcd://a:1/x?ca=/nowhere",
  ])
    refused(() => parse(text), "WF2102", /etcd:\/\//);
});
