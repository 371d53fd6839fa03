/** Why the Kubernetes API did not do what it was asked. */
export class KubernetesError extends Error {
  /** HTTP status; 0 where no answer came. */
  readonly status: number;
  /** Kubernetes' word for it, such as `NotFound`, `Conflict`, `Forbidden`, `Expired`; "" where it gave none. */
  readonly reason: string;
  /** How long the server asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterMs?: number) {
    super(message);
    this.name = "KubernetesError";
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

const messageCharsMax = 500;

/** What an answer that is no success says; its body is a `Status` object or anything. */
export const errorOfAnswer = (status: number, body: string, retryAfter: string | undefined): KubernetesError => {
  const { reason, message } = statusIn(body);
  const seconds = retryAfter === undefined ? Number.NaN : Number(retryAfter);
  const text = (message || body.trim() || `HTTP ${status}`).slice(0, messageCharsMax);
  return new KubernetesError(
    status,
    reason,
    text,
    Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined,
  );
};

const statusIn = (body: string): { readonly reason: string; readonly message: string } => {
  try {
    const { kind, reason, message } = JSON.parse(body) as Readonly<Record<string, unknown>>;
    if (kind !== "Status") return { reason: "", message: "" };
    return { reason: typeof reason === "string" ? reason : "", message: typeof message === "string" ? message : "" };
  } catch {
    return { reason: "", message: "" };
  }
};
