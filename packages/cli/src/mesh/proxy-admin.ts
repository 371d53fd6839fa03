import { WeftError } from "@weft/core/error";

/** `fetch` says why in its cause. */
export const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
};

export const adminUnreachable = (admin: string, cause: unknown): WeftError =>
  new WeftError("WF9028", `cannot ask the proxy's admin interface at ${admin}: ${reasonOf(cause)}`, {
    next: "run this on the proxy's machine, or leave --admin out",
    cause,
  });

const askTimeoutMs = 5000;

/** What a proxy's admin interface answers as text. A refusal is WF9035 with its first line. */
export const askAdminText = async (
  admin: string | undefined,
  path: string,
  method: "GET" | "POST",
): Promise<string> => {
  if (admin === undefined) throw new WeftError("WF9027", "the proxy has no admin interface");
  let status: number;
  let text: string;
  try {
    const answer = await fetch(`http://${admin}${path}`, { method, signal: AbortSignal.timeout(askTimeoutMs) });
    status = answer.status;
    text = await answer.text();
  } catch (cause) {
    throw adminUnreachable(admin, cause);
  }
  if (status !== 200) throw new WeftError("WF9035", `the proxy refused: ${text.split("\n")[0] || status}`);
  return text;
};
