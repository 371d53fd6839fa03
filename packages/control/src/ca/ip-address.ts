/** The bytes of an IPv4 or IPv6 address, as certificates carry them; `undefined` for anything else. */
export const addressBytes = (text: string): Buffer | undefined => (text.includes(":") ? ipv6(text) : ipv4(text));

const ipv4 = (text: string): Buffer | undefined => {
  const parts = text.split(".");
  const valid = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return valid ? Buffer.from(parts.map(Number)) : undefined;
};

const ipv6 = (text: string): Buffer | undefined => {
  const halves = text.split("::");
  const groupsOf = (half: string | undefined): string[] => (half ? half.split(":") : []);
  const [left, right] = [groupsOf(halves[0]), groupsOf(halves[1])];
  const missing = 8 - left.length - right.length;
  if (halves.length > 2 || (halves.length === 2 ? missing < 1 : missing !== 0)) return undefined;
  const groups = [...left, ...new Array<string>(halves.length === 2 ? missing : 0).fill("0"), ...right];
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
};
