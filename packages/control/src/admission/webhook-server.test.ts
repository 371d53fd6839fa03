import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { request } from "node:https";
import { Socket } from "node:net";
import { test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { silentLogger } from "@weft/core/world";
import { openAuthority } from "../ca/authority.ts";
import { openWebhookServer, serviceHosts } from "./webhook-server.ts";

const minute = 60_000;

/** A server whose clock only goes when the test says so. */
const start = async (stack: AsyncDisposableStack) => {
  const files = new Map<string, string>();
  const store = {
    read: (name: string) => files.get(name),
    write: (name: string, text: string) => void files.set(name, text),
  };
  // What it gets to is no later than now, or its certificates would be of the future.
  let wallMs = Date.now() - 13 * 60 * minute;
  let due: (() => void) | undefined;
  const own = openAuthority({ store, trustDomain: "cluster.local", nowMs: wallMs, randomBytes });
  let rootPem = own.rootPem;
  const authority = {
    issueServer: own.issueServer.bind(own),
    get rootPem() {
      return rootPem;
    },
  };
  const server = await openWebhookServer({
    ...{ address: { host: "127.0.0.1", port: 0 }, authority, log: silentLogger },
    clock: { nowMs: () => wallMs, wallMs: () => wallMs },
    setTimer: (run) => {
      due = run;
      return {
        [Symbol.dispose]: () => {
          due = undefined;
        },
      };
    },
    identity: { trustDomain: "cluster.local", namespace: "istio-system", serviceAccount: "istiod" },
    hosts: serviceHosts("istiod", "istio-system"),
    routes: [],
  });
  stack.defer(() => server.close());
  const dial = async (): Promise<TLSSocket> => {
    const socket = connect({
      ...{ host: "127.0.0.1", port: server.address.port, ca: own.rootPem },
      servername: "istiod.istio-system.svc",
    });
    stack.defer(() => void socket.destroy());
    await once(socket, "secureConnect");
    return socket;
  };
  const serial = async (): Promise<string> => {
    const socket = await dial();
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const pass = (ms: number): void => {
    wallMs += ms;
    due?.();
  };
  const newRoot = (): void => {
    rootPem = `${rootPem}\n`;
  };
  return { server, own, dial, serial, pass, newRoot, isArmed: () => due !== undefined };
};

test("the certificate is renewed at half of its life and not before, when the root changes, and when the clock went back", async () => {
  await using stack = new AsyncDisposableStack();
  const { serial, pass, newRoot } = await start(stack);
  const first = await serial();
  pass(12 * 60 * minute - 1);
  assert.equal(await serial(), first);
  pass(1);
  const second = await serial();
  assert.notEqual(second, first);
  pass(minute);
  assert.equal(await serial(), second);
  newRoot();
  pass(minute);
  const third = await serial();
  assert.notEqual(third, second);
  pass(-60 * minute);
  assert.notEqual(await serial(), third);
});

test("nothing is looked at after it was closed", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, isArmed } = await start(stack);
  assert.equal(isArmed(), true);
  await server.close();
  assert.equal(isArmed(), false);
});

test("clients that begin and do not go on hold up nobody else", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, own, dial } = await start(stack);
  for (let at = 0; at < 20; at++) {
    // Half a handshake, and half a request.
    const raw = new Socket();
    stack.defer(() => void raw.destroy());
    raw.connect(server.address.port, "127.0.0.1");
    await once(raw, "connect");
    raw.write(Buffer.from([22, 3, 1, 2]));
    (await dial()).write("POST /inject HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{");
  }
  const asked = request({
    ...{ host: "127.0.0.1", port: server.address.port, path: "/none", ca: own.rootPem, agent: false },
    servername: "istiod.istio-system.svc",
  });
  asked.end();
  const [answer] = (await once(asked, "response")) as [{ readonly statusCode: number; resume(): void }];
  answer.resume();
  assert.equal(answer.statusCode, 404);
});
