/** Connections that were there before interception was applied. A namespace each: one that tracked connections once goes on to. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { createNetworkNamespace } from "@weft/testkit/network-namespace";
import { weftEntry } from "@weft/testkit/processes";

const programs = join(import.meta.dirname, "../programs");
const appPort = 8080;

for (const [mode, ...flags] of [["redirect"], ["tproxy", "--mode", "tproxy"]] as const) {
  test(`connections that are there before the rules of ${mode} outlive them, whichever side speaks next`, async () => {
    await using stack = new AsyncDisposableStack();
    const net = stack.use(createNetworkNamespace());
    const app = stack.use(
      net.start(process.execPath, [join(programs, "echo.ts"), "app", String(appPort), net.inside.ipv4]),
    );
    await app.waitFor(/^listening/);
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket.setEncoding("utf8").on("error", () => {})));
    stack.defer(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    server.listen(0, net.outside.ipv4[0]);
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const start = async () => {
      const client = stack.use(
        net.start(process.execPath, [join(programs, "line-client.ts"), net.outside.ipv4[0], String(port)]),
      );
      await client.waitFor(/^connected/);
      return client;
    };
    const listening = await start();
    const [toListening = assert.fail()] = sockets;
    const speaking = await start();
    const caller = connect({ host: net.inside.ipv4, port: appPort }).setEncoding("utf8");
    sockets.push(caller);
    const ask = async (): Promise<string> => {
      caller.write("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
      return String((await once(caller, "data"))[0]);
    };
    assert.match(await ask(), /"name":"app"/);

    const { code, stderr } = await net.run(process.execPath, [weftEntry, "intercept", "apply", ...flags]);
    assert.equal(code, 0, stderr);

    toListening.write("ping\n");
    const came = once(toListening, "data");
    const lost = listening.waitFor(/^(failed|closed)/).then(([line]) => assert.fail(`the client's connection ${line}`));
    lost.catch(() => {});
    await Promise.race([came, lost]);
    assert.equal(String((await came)[0]), "ping\n");

    speaking.kill("SIGUSR1");
    assert.equal(String((await once(sockets.at(1) ?? assert.fail(), "data"))[0]), "hello\n");
    assert.match(await ask(), /"name":"app"/, "a connection from outside");
  });
}
