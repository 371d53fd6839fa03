/**
 * A program that knows nothing of the mesh but its environment. At once after its start it calls others in every way
 * there is, each once, and prints the answers; then it serves: `/exit/N` ends it with that code, the rest it answers.
 */

import { createServer } from "node:http";
import { connect } from "node:net";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { callHttp } from "@weft/testkit/http-call";

const outbound = process.env.WEFT_OUTBOUND ?? "";
const proxy = new URL(process.env.HTTP_PROXY ?? "").host;

const print = (via: string, answer: object): void => void process.stdout.write(`${via} ${JSON.stringify(answer)}\n`);

/** A GET through a tunnel, as programs do for what is not plain HTTP. */
const tunnelled = (target: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const at = proxy.lastIndexOf(":");
    const socket = connect(Number(proxy.slice(at + 1)), proxy.slice(0, at));
    let got = "";
    let asked = false;
    socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`);
    socket.on("data", (bytes) => {
      got += bytes.toString("latin1");
      if (asked || !got.includes("\r\n\r\n")) return;
      asked = true;
      if (!got.startsWith("HTTP/1.1 200")) return void socket.end();
      socket.write(`GET /tunnelled HTTP/1.1\r\nhost: ${target}\r\nconnection: close\r\n\r\n`);
    });
    socket.on("end", () => socket.end());
    socket.on("close", () => resolve(got));
    socket.on("error", reject);
  });

const same = (bytes: Buffer): Buffer => bytes;
const grpc = new Client(outbound, credentials.createInsecure());
const callGrpc = (path: string): Promise<object> =>
  new Promise((resolve) => {
    const deadline = { deadline: Date.now() + 10_000 };
    grpc.makeUnaryRequest(path, same, same, Buffer.from("who"), deadline, (error: ServiceError | null, answer) =>
      resolve(error ? { code: error.code, message: error.details } : { text: answer?.toString("utf8") }),
    );
  });

print("host", await callHttp(outbound, { host: "catalog", path: "/host" }));
print("absolute", await callHttp(proxy, { host: "catalog", path: "http://catalog/absolute" }));
print("connect", { text: await tunnelled("catalog:80") });
print("grpc", await callGrpc("/shop.Names/Get"));
print("unknown", await callGrpc("/shop.Nobody/Get"));
print("ambiguous", await callGrpc("/shop.Twice/Get"));
grpc.close();

createServer((request, response) => {
  const code = /^\/exit\/(\d+)/.exec(request.url ?? "")?.[1];
  response.end("billing", () => {
    if (code !== undefined) process.exit(Number(code));
  });
}).listen(Number(process.env.PORT), "127.0.0.1");
