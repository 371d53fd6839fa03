/** For tests: command lines run in a world of their own, and an API to answer them. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { main } from "../main.ts";

export const folder = mkdtempSync(join(tmpdir(), "weft-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command line in a world without a mesh, and gives what it printed. */
export const run = async (argv: readonly string[], env: Record<string, string> = {}) => {
  const out: string[] = [];
  const err: string[] = [];
  const code = await main(argv, {
    env: { WEFT_STATE_DIR: join(folder, "none"), ...env },
    cwd: folder,
    root: folder,
    isTty: false,
    print: (text) => out.push(text),
    printError: (text) => err.push(text),
    signal: new AbortController().signal,
  });
  return { code, out: out.join(""), err: err.join("") };
};

const textOf = async (request: IncomingMessage): Promise<string> => {
  let text = "";
  for await (const part of request) text += String(part);
  return text;
};

/** An API that answers each path with JSON, and remembers what it was asked. */
export const startApi = async (answers: Readonly<Record<string, unknown>>, status = 200) => {
  const asked: { line: string; token: string | undefined; body: string }[] = [];
  const server = createServer(async (request, response) => {
    const body = await textOf(request);
    asked.push({ line: `${request.method} ${request.url}`, token: request.headers.authorization, body });
    const answer = answers[(request.url ?? "").split("?")[0] ?? ""];
    response.writeHead(answer === undefined ? 404 : status, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? { code: "WF8400", message: "nothing here", next: "look elsewhere" }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    address,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
