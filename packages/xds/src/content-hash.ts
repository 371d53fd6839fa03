/** Hashes of content: equal on every replica that derived the same. */
import { hash } from "node:crypto";

export const hashLength = 16;

export const hashOf = (content: string | Uint8Array): string => hash("sha256", content).slice(0, hashLength);

/** Hash of plain JSON that does not depend on the order of members. */
export const contentHash = (json: unknown): string => hashOf(canonical(json));

const canonical = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const members: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const member = (value as Readonly<Record<string, unknown>>)[key];
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonical(member)}`);
  }
  return `{${members.join(",")}}`;
};
