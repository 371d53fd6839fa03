/** Questions for a DNS proxy under test, by our codec: one message over UDP or TCP. */
import { setRealTimer } from "@weft/net/clock";
import { createTcpAsk, createUdpAsk } from "@weft/net/dns/exchange";
import { decodeDns } from "@weft/protocols/dns/decode";
import { encodeDns } from "@weft/protocols/dns/encode";
import { createQuery, type DnsMessage, recordType } from "@weft/protocols/dns/message";

const [udp, tcp] = [createUdpAsk(setRealTimer), createTcpAsk(setRealTimer)];

export const askDns = async (
  port: number,
  name: string,
  options: { readonly type?: number; readonly tcp?: boolean; readonly host?: string } = {},
): Promise<DnsMessage> => {
  const query = createQuery(4321, { name, type: options.type ?? recordType.a, class: 1 });
  const reply = await (options.tcp ? tcp : udp)({
    server: { host: options.host ?? "127.0.0.1", port },
    message: encodeDns(query),
    timeoutMs: 10_000,
    accept: (bytes) => bytes.readUInt16BE(0) === query.id,
  });
  return decodeDns(reply);
};

export const addressesIn = ({ answers }: DnsMessage): readonly string[] =>
  answers.flatMap(({ data }) => (data.kind === "address" ? [data.address] : [])).sort();
