import type { HttpTools } from "./hcm-settings.ts";
import { HttpExchange } from "./http-exchange.ts";
import { freeExchangesMax } from "./limits.ts";

/** Exchanges of one thread, used over and over. */
export class ExchangePool {
  active = 0;
  private readonly free: HttpExchange[] = [];

  take(tools: HttpTools): HttpExchange {
    this.active++;
    return this.free.pop() ?? new HttpExchange(tools);
  }
  give(exchange: HttpExchange): void {
    this.active--;
    if (this.free.length < freeExchangesMax) this.free.push(exchange);
  }
}
