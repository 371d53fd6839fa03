import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { BidiCall, BidiEvents } from "@weft/net/grpc/calls";
import { GrpcError } from "@weft/net/grpc/status";
import { decodeResource } from "@weft/xds/codec";
import {
  decodeDeltaResponse,
  decodeDiscoveryResponse,
  encodeDeltaRequest,
  encodeDiscoveryRequest,
} from "@weft/xds/discovery";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import { resourceType } from "@weft/xds/resource";
import { readMaterial } from "./identity-material.ts";
import { createSdsServer, type SdsServer } from "./sds-server.ts";
import { createTestCa, testIdentity } from "./testing/test-ca.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
const { typeUrl } = resourceType("secret");
const ca = createTestCa(nowMs);
const newMaterial = () => readMaterial(ca.issue({ notBeforeMs: nowMs, notAfterMs: nowMs + 86_400_000 }), testIdentity);

const newServer = (): SdsServer =>
  createSdsServer({
    clock: { nowMs: () => 0, wallMs: () => nowMs },
    setTimer: () => ({ [Symbol.dispose]: () => {} }),
    log: silentLogger,
  });

const open = (server: SdsServer, method: "StreamSecrets" | "DeltaSecrets") => {
  const sent: Uint8Array[] = [];
  const ended: number[] = [];
  const call: BidiCall = {
    path: "",
    metadata: new Map(),
    peer: { address: "unix", secure: false, spiffe: undefined },
    send: (framed) => {
      sent.push(framed.subarray(5));
      return true;
    },
    end: (status) => void ended.push(status),
  };
  const handler = server.handlers.get(`/envoy.service.secret.v3.SecretDiscoveryService/${method}`);
  assert.ok(handler?.kind === "bidi");
  const events: BidiEvents = handler.open(call);
  return { sent, ended, events };
};

const sotw = (names: readonly string[], change: { nonce?: string; version?: string; type?: string } = {}): Uint8Array =>
  encodeDiscoveryRequest({
    versionInfo: change.version ?? "",
    node: undefined,
    resourceNames: names,
    typeUrl: change.type ?? typeUrl,
    responseNonce: change.nonce ?? "",
    errorDetail: undefined,
  });

const secretsIn = (message: Uint8Array): readonly SecretJson[] =>
  decodeDiscoveryResponse(message).resources.map(
    (one) => decodeResource(typeUrl, one.value as Uint8Array) as SecretJson,
  );
const keyIn = (secret: SecretJson | undefined): string =>
  Buffer.from(secret?.tlsCertificate?.privateKey?.inlineBytes ?? "", "base64").toString();

test("a stream gets the secrets it names, and them again when they are rotated", () => {
  const server = newServer();
  const [first, second] = [newMaterial(), newMaterial()];
  server.publish(first);
  const { sent, events } = open(server, "StreamSecrets");
  events.message(sotw(["default"]));
  assert.equal(sent.length, 1);
  assert.deepEqual(
    secretsIn(sent[0] as Uint8Array).map(({ name }) => name),
    ["default"],
  );
  assert.equal(keyIn(secretsIn(sent[0] as Uint8Array)[0]), first.keyPem);
  const { nonce, versionInfo } = decodeDiscoveryResponse(sent[0] as Uint8Array);
  events.message(sotw(["default"], { nonce, version: versionInfo }));
  server.publish(second);
  assert.equal(sent.length, 2);
  assert.equal(keyIn(secretsIn(sent[1] as Uint8Array)[0]), second.keyPem);
});

test("a stream that asks before there is a certificate is answered when there is one", () => {
  const server = newServer();
  const { sent, events } = open(server, "StreamSecrets");
  events.message(sotw(["default", "ROOTCA"]));
  assert.equal(sent.length, 0);
  server.publish(newMaterial());
  assert.deepEqual(
    secretsIn(sent[0] as Uint8Array)
      .map(({ name }) => name)
      .sort(),
    ["ROOTCA", "default"],
  );
});

test("a rotated leaf does not send the roots again", () => {
  const server = newServer();
  server.publish(newMaterial());
  const { sent, events } = open(server, "StreamSecrets");
  events.message(sotw(["ROOTCA"]));
  const { nonce, versionInfo } = decodeDiscoveryResponse(sent[0] as Uint8Array);
  events.message(sotw(["ROOTCA"], { nonce, version: versionInfo }));
  server.publish(newMaterial());
  assert.equal(sent.length, 1);
});

test("the delta protocol gets the same secrets", () => {
  const server = newServer();
  server.publish(newMaterial());
  const { sent, events } = open(server, "DeltaSecrets");
  const request = {
    node: { id: "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local" },
    typeUrl,
    subscribe: ["default", "ROOTCA"],
    unsubscribe: [],
    initialVersions: new Map<string, string>(),
    responseNonce: "",
    errorDetail: undefined,
  };
  events.message(encodeDeltaRequest(request));
  const { resources, nonce } = decodeDeltaResponse(sent[0] as Uint8Array);
  assert.deepEqual(resources.map(({ name }) => name).sort(), ["ROOTCA", "default"]);
  events.message(encodeDeltaRequest({ ...request, subscribe: [], responseNonce: nonce }));
  server.publish(newMaterial());
  assert.deepEqual(
    decodeDeltaResponse(sent[1] as Uint8Array).resources.map(({ name }) => name),
    ["default"],
  );
});

test("other names are never answered with a secret", () => {
  const server = newServer();
  server.publish(newMaterial());
  const { sent, events } = open(server, "StreamSecrets");
  events.message(sotw(["kubernetes://other-credential", "__proto__"]));
  assert.deepEqual(
    sent.flatMap((message) => secretsIn(message)),
    [],
  );
});

test("other types and bytes that are no request end the stream", () => {
  const server = newServer();
  server.publish(newMaterial());
  const { events } = open(server, "StreamSecrets");
  assert.throws(() => events.message(sotw(["x"], { type: resourceType("cluster").typeUrl })), GrpcError);
  assert.throws(() => events.message(Buffer.from([255, 255])), GrpcError);
});

test("a closed stream is forgotten and sent nothing more", () => {
  const server = newServer();
  const { sent, events } = open(server, "StreamSecrets");
  events.message(sotw(["default"]));
  assert.equal(server.streams, 1);
  events.closed();
  assert.equal(server.streams, 0);
  server.publish(newMaterial());
  assert.equal(sent.length, 0);
});
