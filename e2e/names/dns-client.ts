/**
 * Questions for a DNS proxy under test, by our codec. Over UDP it asks again, as every resolver does: a datagram that
 * comes behind many others may find no room in the kernel.
 */
import { setRealTimer } from "@weft/net/clock";
import { createTcpAsk, createUdpAsk } from "@weft/net/dns/exchange";
import { decodeDns } from "@weft/protocols/dns/decode";
import { encodeDns } from "@weft/protocols/dns/encode";
import { createQuery, type DnsMessage, recordType } from "@weft/protocols/dns/message";

const [udp, tcp] = [createUdpAsk(setRealTimer), createTcpAsk(setRealTimer)];

const udpTries = 5;

export const askDns = async (
  port: number,
  name: string,
  options: { readonly type?: number; readonly tcp?: boolean; readonly host?: string } = {},
): Promise<DnsMessage> => {
  const query = createQuery(4321, { name, type: options.type ?? recordType.a, class: 1 });
  const exchange = {
    server: { host: options.host ?? "127.0.0.1", port },
    message: encodeDns(query),
    timeoutMs: options.tcp ? 10_000 : 2_000,
    accept: (bytes: Buffer) => bytes.readUInt16BE(0) === query.id,
  };
  if (options.tcp) return decodeDns(await tcp(exchange));
  for (let tries = 1; ; tries++) {
    try {
      return decodeDns(await udp(exchange));
    } catch (error) {
      if (tries === udpTries) throw error;
    }
  }
};

export const addressesIn = ({ answers }: DnsMessage): readonly string[] =>
  answers.flatMap(({ data }) => (data.kind === "address" ? [data.address] : [])).sort();
