/** An application as a process of its own: an echo server called NAME on PORT (0: any) of HOST; it prints the port. */
import { startEchoServer } from "@weft/testkit/echo-server";

const [name = "echo", port = "0", host = "127.0.0.1"] = process.argv.slice(2);
const server = await startEchoServer(name, Number(port), host);
process.stdout.write(`listening ${server.port}\n`);
