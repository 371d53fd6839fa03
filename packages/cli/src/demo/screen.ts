import { formatTable } from "../output/table.ts";
import { scenarios } from "./shop.ts";
import type { LoadReport, RunningWorkload } from "./start-shop.ts";
import type { ServiceView } from "./watch-shop.ts";

const percent = (share: number): string => `${(share * 100).toFixed(share === 1 || share === 0 ? 0 : 1)}%`;
const ms = (value: number): string =>
  value === 0 ? "-" : value < 10 ? `${value.toFixed(1)}ms` : `${Math.round(value)}ms`;

/** Where each workload's sidecar and program listen. */
export const addressTable = (workloads: readonly RunningWorkload[]): string =>
  formatTable(
    ["WORKLOAD ON 127.0.0.1", "INBOUND", "OUTBOUND", "ADMIN", "PROGRAM"],
    workloads.map(({ name, inbound, outbound, sidecar, appPorts }) => [
      name,
      inbound.map(portOf).join(" "),
      portOf(outbound),
      portOf(sidecar.admin),
      appPorts.join(" "),
    ]),
  );
/** All of the shop is on loopback: its ports tell it apart. */
const portOf = (address: string): string => address.slice(address.lastIndexOf(":") + 1);

/** The live table: one row a service. */
export const shopTable = (views: readonly ServiceView[]): string =>
  formatTable(
    ["SERVICE", "RPS", "SUCCESS", "P50", "P99", "MTLS", "ENDPOINTS", "VERSIONS"],
    views.map(({ service, rps, success, p50, p99, mtls, endpoints, ejected, versions }) => [
      service,
      rps.toFixed(1),
      percent(success),
      ms(p50),
      ms(p99),
      percent(mtls),
      ejected === 0 ? String(endpoints) : `${endpoints} (${ejected} ejected)`,
      versions.map(({ version, share }) => `${version} ${percent(share)}`).join("  "),
    ]),
  );

export const loadLine = (report: LoadReport | undefined): string =>
  report === undefined
    ? "page views: waiting for the first\n"
    : `page views: ${report.answered}/s, ${report.failed} failed, p50 ${ms(report.p50)}, p99 ${ms(report.p99)}\n`;

/** What the keys do, in as many lines as a terminal of 80 columns needs. */
export const keyLines = (): string => {
  const lines: string[] = [];
  for (const word of [...scenarios.map(({ key, title }) => `[${key}] ${title}`), "[q] quit"]) {
    const longer = `${lines.at(-1) ?? ""}   ${word}`;
    if (lines.length === 0 || longer.length > 80) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return `${lines.join("\n")}\n`;
};

const controlSequence = `${String.fromCharCode(27)}[`;

/** Lines end at the terminal's edge instead of going on in the next row, which nobody would have counted. */
const cut = (text: string): string => `${controlSequence}?7l${text}${controlSequence}?7h`;

/** Redraws in place: moves up over what was drawn last, and clears to the end of the screen. */
export const createScreen = (print: (text: string) => void) => {
  let lines = 0;
  return {
    draw(text: string): void {
      print(`${lines === 0 ? "" : `${controlSequence}${lines}A${controlSequence}J`}${cut(text)}`);
      lines = text.split("\n").length - 1;
    },
    /** Text that stays: printed where the table was, the table moves below it. */
    say(text: string): void {
      print(`${lines === 0 ? "" : `${controlSequence}${lines}A${controlSequence}J`}${text}`);
      lines = 0;
    },
  };
};
