import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { parseRegistryUrl, refuseOtherOptions, wrongUrl } from "./registry-url.ts";

const refusal = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof WeftError);
    assert.equal(error.code, "WF2102");
    return `${error.message}. ${error.next}`;
  }
  return assert.fail("it is not refused");
};

test("however a user or a password got into a URL, it is refused and not shown", () => {
  for (const text of [
    "etcd://me:secret@a:1/x",
    "etcd://me:sec/ret@a:1/x",
    "etcd://me:sec?ret@a:1/x",
    "etcd://me:sec#ret@a:1/x",
    "etcd://me:1/secret@a:1/x",
    "etcd:me:secret@a:1/x",
    "etcd//me:secret@a:1/x",
    "//me:secret@a:1/x",
    "me:secret@a:1/x",
    "etcd://me%3Asecret%40a:1/x",
    "nacos://a:1?username=me",
    "nacos://a:1?namespace=n&password=secret",
    "consul://a:1?token=secret",
    "consul://a:1?ACL-Token=secret",
    "zookeeper://a:1/s?auth=digest:me:secret",
    "etcd://a:1/x?client_secret=secret",
    "embedded:?passwd=secret",
  ]) {
    const said = refusal(() => parseRegistryUrl(text));
    assert.match(said, /holds a user or a password.*--registry-credentials/, text);
    assert.doesNotMatch(said, /me:|sec|ret@/, text);
  }
});

test("an @ that parts no user from a host is a character like others", () => {
  assert.equal(parseRegistryUrl("etcd://a:1/services@v2").path, "/services@v2");
  assert.equal(parseRegistryUrl("nacos://a:1?group=A@@B").options.get("group"), "A@@B");
  assert.equal(parseRegistryUrl("kubernetes://?context=me@cluster").options.get("context"), "me@cluster");
  assert.equal(parseRegistryUrl("kubernetes:?context=me@cluster:6443").options.get("context"), "me@cluster:6443");
  assert.equal(parseRegistryUrl("file:///srv/me@home").path, "/srv/me@home");
});

test("what an option that nobody knows is given is not shown", () => {
  const said = refusal(() => refuseOtherOptions(parseRegistryUrl("consul://a:1?pin=1234&tag=x"), ["tag", "ca"]));
  assert.match(said, /consul:\/\/a:1 has an option pin; known are tag, ca, name/);
  assert.doesNotMatch(said, /1234/);
});

test("what a typing error leaves in a URL is refused where it could be read as something else", () => {
  assert.match(
    refusal(() => parseRegistryUrl("etcd://a:1/services ")),
    /has a blank/,
  );
  assert.match(
    refusal(() => parseRegistryUrl("etcd://a:1/x\u001b[2J")),
    /has a blank or a control character.*%/,
  );
  assert.match(
    refusal(() => parseRegistryUrl("etcd://a:1/services&name=x")),
    /has & before the first \?/,
  );
  assert.match(
    refusal(() => parseRegistryUrl("etcd://a:1/x#y")),
    /has #, which is written %23/,
  );
  assert.match(
    refusal(() => parseRegistryUrl("etcd://a%20b:1/x")),
    /"a%20b:1" where HOST:PORT is expected/,
  );
});

test("what to write instead is of the registry's own kind", () => {
  const next = (text: string): string | undefined => wrongUrl(text, "is wrong").next;
  assert.match(next("zookeeper://a:1") ?? "", /such as zookeeper:\/\/10.0.0.5:2181\/services/);
  assert.match(next("consul://a:1/x") ?? "", /such as consul:\/\/10.0.0.5:8500\?/);
  assert.match(next("FILE:x") ?? "", /such as file:\/\/\/etc/);
  assert.match(next("nothing") ?? "", /SCHEME:\/\/HOST:PORT/);
});
