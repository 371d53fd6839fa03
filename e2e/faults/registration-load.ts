/** Instances that register at a control plane's HTTP API at a steady rate, whatever it answers, and which it took. */
import { Agent, request } from "node:http";
import { parseAddress } from "@weft/core/address";

export interface RegistrationLoadOptions {
  /** Of the HTTP API. */
  readonly address: string;
  readonly token: string;
  readonly perSecond: number;
  readonly seconds: number;
  /** Among how many services they are dealt out. */
  readonly services: number;
  readonly ttlSeconds?: number;
  readonly sent?: (at: number) => void;
}

export interface RegistrationLoad {
  /** Numbers of those that were answered as registered. */
  readonly taken: readonly number[];
  /** From the moment each was due to its answer. */
  readonly answerMs: readonly number[];
  /** What others were answered, or why they were not, by how often. */
  readonly refused: ReadonlyMap<string, number>;
  /** From the first request to the last answer. */
  readonly tookMs: number;
}

export const serviceOf = (at: number, services: number): string => `s${at % services}`;
export const addressOf = (at: number): string => `10.${1 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;

const connections = 64;
const tickMs = 5;

/** Settles when every request was answered or failed. */
export const registerAtRate = async (options: RegistrationLoadOptions): Promise<RegistrationLoad> => {
  const { address, token, perSecond, seconds, services, ttlSeconds = 3_600, sent } = options;
  const at = parseAddress(address);
  if (!at) throw new Error(`${address} is no address`);
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const taken: number[] = [];
  const answerMs: number[] = [];
  const refused = new Map<string, number>();
  const refuse = (why: string): void => void refused.set(why, (refused.get(why) ?? 0) + 1);
  const register = (number: number, dueMs: number): Promise<void> =>
    new Promise((resolve) => {
      const body = JSON.stringify({ address: addressOf(number), port: 8080, servicePort: 80, ttlSeconds });
      const path = `/v1/registry/${serviceOf(number, services)}/instances/i${number}`;
      const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
      const call = request({ ...at, method: "PUT", path, headers, agent }, (response) => {
        response.resume();
        response.once("error", () => {});
        response.once("close", () => {
          if (response.complete && (response.statusCode ?? 0) < 300) {
            taken.push(number);
            answerMs.push(performance.now() - dueMs);
          } else refuse(String(response.statusCode));
          resolve();
        });
      });
      call.once("error", ({ message }) => {
        refuse(message);
        resolve();
      });
      call.end(body);
      sent?.(number);
    });
  const total = perSecond * seconds;
  const startedMs = performance.now();
  const open: Promise<void>[] = [];
  while (open.length < total) {
    const dueNow = Math.min(total, Math.ceil(((performance.now() - startedMs) / 1_000) * perSecond));
    while (open.length < dueNow) open.push(register(open.length, startedMs + (open.length / perSecond) * 1_000));
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
  await Promise.all(open);
  agent.destroy();
  return { taken, answerMs, refused, tookMs: performance.now() - startedMs };
};
