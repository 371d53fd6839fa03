/**
 * The workload's identity as a running thing: joins the identity machine to a key maker, a CA and a store, all given.
 * Hands out the secrets `default` and `ROOTCA`, first from the store if it has good ones, and again at each renewal.
 */
import { createPrivateKey } from "node:crypto";
import { formatIdentity, type Identity } from "@weft/core/identity";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { createCsrAside } from "@weft/protocols/x509/csr";
import { type IdentityInput, IdentityMachine, type IdentityOutput } from "./identity-machine.ts";
import type { IdentityMaterial, StoredIdentity } from "./identity-material.ts";

export interface IdentityStore {
  load(): Promise<StoredIdentity | undefined>;
  /** Whole or not at all; the key readable by its owner only. */
  save(stored: StoredIdentity): Promise<void>;
}

export interface IdentityClientOptions {
  readonly identity: Identity;
  /** Asks the CA to sign; the answer is a chain in PEM, leaf first, root last. Rejects with what the CA said. */
  readonly requestCertificate: (csrPem: string) => Promise<readonly string[]>;
  /** A new P-256 private key as PKCS#8 PEM, made where it does not hold up traffic. */
  readonly generateKey: () => Promise<string>;
  /** Absent: nothing is kept, and a restart needs the CA. */
  readonly store: IdentityStore | undefined;
  /** Called with each new material, before `ready` resolves. */
  readonly onMaterial: (material: IdentityMaterial) => void;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

export interface IdentityClient extends Disposable {
  /** What is in use; may be past its end. */
  readonly material: IdentityMaterial | undefined;
  /** Resolves with the first material; stays open while there is none. */
  readonly ready: Promise<IdentityMaterial>;
}

/** Wall clocks jump and machines sleep: no timer is trusted for longer than this. */
const timerMaxMs = 60_000;

/** Starts at once. Disposing stops renewals; what is under way is ignored when it ends. */
export const openIdentityClient = (options: IdentityClientOptions): IdentityClient => {
  const { clock, log, store } = options;
  const machine = new IdentityMachine(options);
  const ready = Promise.withResolvers<IdentityMaterial>();
  let timer: Disposable | undefined;
  let closed = false;

  const handle = (input: IdentityInput): void => {
    if (closed) return;
    for (const output of machine.handle(input, clock.wallMs())) perform(output);
    timer?.[Symbol.dispose]();
    const deadlineMs = machine.deadlineMs();
    if (deadlineMs === undefined || closed) return;
    const delayMs = Math.min(timerMaxMs, Math.max(0, deadlineMs - clock.wallMs()));
    timer = options.setTimer(() => handle({ kind: "tick" }), delayMs);
  };

  const perform = (output: IdentityOutput): void => {
    switch (output.kind) {
      case "request":
        request(output.attempt);
        break;
      case "use":
        options.onMaterial(output.material);
        ready.resolve(output.material);
        break;
      case "store":
        store?.save(output.stored).catch((error: unknown) => {
          log.warn(`WF7003 the certificate could not be stored: ${textOf(error)}`);
        });
        break;
      case "log":
        log[output.level](output.message);
        break;
      default:
        output satisfies never;
    }
  };

  const request = (attempt: number): void => {
    const uri = formatIdentity(options.identity);
    const ask = async (): Promise<StoredIdentity> => {
      const keyPem = await options.generateKey();
      const csr = await createCsrAside(createPrivateKey(keyPem), { ...noAltNames, uris: [uri] });
      return { keyPem, chain: await options.requestCertificate(csr) };
    };
    ask().then(
      (answer) => handle({ kind: "issued", attempt, answer }),
      (error: unknown) => handle({ kind: "failed", attempt, reason: textOf(error) }),
    );
  };

  const loaded = store ? store.load() : Promise.resolve(undefined);
  loaded.then(
    (stored) => handle({ kind: "loaded", stored }),
    (error: unknown) => {
      log.warn(`WF7003 the stored certificate cannot be read: ${textOf(error)}`);
      handle({ kind: "loaded", stored: undefined });
    },
  );

  return {
    get material() {
      return machine.material;
    },
    ready: ready.promise,
    [Symbol.dispose]: () => {
      closed = true;
      timer?.[Symbol.dispose]();
    },
  };
};

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
