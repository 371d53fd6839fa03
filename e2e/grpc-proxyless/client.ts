/** A proxyless gRPC client: calls `xds:///TARGET` COUNT times and prints which server answered how often. Run as a process. */
import { Client, credentials } from "@grpc/grpc-js";
import { register } from "@grpc/grpc-js-xds";

register();
const [target = "", count = "1"] = process.argv.slice(2);
const client = new Client(`xds:///${target}`, credentials.createInsecure());
const same = (bytes: Buffer): Buffer => bytes;

const call = (): Promise<string> =>
  new Promise((resolve, reject) => {
    const deadline = { deadline: Date.now() + 15_000 };
    client.makeUnaryRequest("/shop.Names/Get", same, same, Buffer.from("who"), deadline, (error, answer) =>
      error ? reject(error) : resolve(answer?.toString("utf8") ?? ""),
    );
  });

const seen: Record<string, number> = {};
for (let i = 0; i < Number(count); i++) {
  const name = await call();
  seen[name] = (seen[name] ?? 0) + 1;
}
process.stdout.write(`seen ${JSON.stringify(seen)}\n`);
process.exit(0);
