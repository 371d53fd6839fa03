/** What is in use of a cluster's circuit breakers. */
import type { CircuitLoad } from "./cluster.ts";

/** The breakers by number: a number costs less than a name where every request counts. */
export const breakers = { connections: 0, pendingRequests: 1, requests: 2, retries: 3 } as const;
export type Breaker = (typeof breakers)[keyof typeof breakers];

/** The load of a proxy that is one thread. */
export class LocalLoad implements CircuitLoad {
  ejections = 0;
  private readonly used: number[] = [0, 0, 0, 0];

  get connections(): number {
    return this.used[breakers.connections] as number;
  }
  get pendingRequests(): number {
    return this.used[breakers.pendingRequests] as number;
  }
  get requests(): number {
    return this.used[breakers.requests] as number;
  }
  get retries(): number {
    return this.used[breakers.retries] as number;
  }
  take(of: Breaker, max: number): boolean {
    const used = this.used[of] as number;
    if (used >= max) return false;
    this.used[of] = used + 1;
    return true;
  }
  force(of: Breaker): void {
    this.used[of] = (this.used[of] as number) + 1;
  }
  give(of: Breaker): void {
    this.used[of] = (this.used[of] as number) - 1;
  }
  takeEjection(max: number): boolean {
    if (this.ejections >= max) return false;
    this.ejections++;
    return true;
  }
  giveEjection(): void {
    this.ejections--;
  }
}
