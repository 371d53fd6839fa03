/** PEM (RFC 7468), read strictly enough that one text has one reading. */

/** Wraps DER at 64 columns, with a final line end. */
export const encodePem = (label: string, der: Uint8Array): string => {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
};

/**
 * The blocks of that label, in order. `undefined` when the text has anything else in it than such blocks and blank
 * space, when there is none, or when a block is not base64.
 */
export const decodePem = (label: string, text: string): Buffer[] | undefined => {
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  const blocks: Buffer[] = [];
  let rest = text.trim();
  while (rest !== "") {
    const stop = rest.indexOf(end);
    if (!rest.startsWith(begin) || stop < 0) return undefined;
    const base64 = rest.slice(begin.length, stop).replace(/[\r\n\t ]+/g, "");
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || base64.length % 4 !== 0) return undefined;
    blocks.push(Buffer.from(base64, "base64"));
    rest = rest.slice(stop + end.length).trimStart();
  }
  return blocks.length > 0 ? blocks : undefined;
};
