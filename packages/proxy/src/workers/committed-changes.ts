/** All that is in force in the workers, as the changes that bring a new one there. */
import type { SubscribedKind } from "@weft/xds/resource";
import { changeKey, type LearnedHostChange, type ResourceChange } from "../runtime/data-plane.ts";

export class CommittedChanges {
  private readonly resources = new Map<string, ResourceChange>();
  /** By table, then by name: what came after the table as it stands in `resources`. */
  private readonly hosts = new Map<string, Map<string, LearnedHostChange>>();

  take(change: ResourceChange): void {
    if (change.kind === "virtualHost") {
      this.takeHost(change);
      return;
    }
    // A table comes with all that it has learned.
    if (change.kind === "route") this.hosts.delete(change.name);
    if (change.json === undefined) this.resources.delete(changeKey(change));
    else this.resources.set(changeKey(change), change);
  }

  has(of: { readonly kind: SubscribedKind; readonly name: string }): boolean {
    return this.resources.has(changeKey(of));
  }

  /** In the order in which they may be put in force as one batch. */
  changes(): readonly ResourceChange[] {
    return [...this.resources.values(), ...this.hosts.values().flatMap((hosts) => hosts.values())];
  }

  private takeHost(change: LearnedHostChange): void {
    const hosts = this.hosts.get(change.table) ?? new Map<string, LearnedHostChange>();
    this.hosts.set(change.table, hosts);
    const before = hosts.get(change.name);
    // What the table itself calls it, should it stand there.
    const replaces = before ? before.replaces : change.replaces;
    const stands = replaces !== undefined && this.standsIn(change.table, replaces);
    if (change.json === undefined && !stands) hosts.delete(change.name);
    else hosts.set(change.name, { ...change, replaces: stands ? replaces : undefined });
  }

  private standsIn(table: string, host: string): boolean {
    const route = this.resources.get(changeKey({ kind: "route", name: table }));
    return route?.kind === "route" && (route.json?.virtualHosts ?? []).some(({ name }) => name === host);
  }
}
