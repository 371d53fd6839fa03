/** A client of HOST PORT: gives back each line it gets, and says `hello` by itself on SIGUSR1. It prints what it gets. */
import { connect } from "node:net";
import { createInterface } from "node:readline";

const [host = "127.0.0.1", port = "0"] = process.argv.slice(2);
const socket = connect({ host, port: Number(port) });
const say = (line: string): void => void process.stdout.write(`${line}\n`);
socket.on("connect", () => say("connected"));
socket.on("error", (error) => say(`failed ${error.message}`));
socket.on("close", () => say("closed"));
createInterface({ input: socket }).on("line", (line) => {
  say(`got ${line}`);
  socket.write(`${line}\n`);
});
process.on("SIGUSR1", () => socket.write("hello\n"));
