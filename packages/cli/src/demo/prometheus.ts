/** One sample of the Prometheus text format. */
export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** The samples whose name `wanted` accepts; comments and lines that are not samples are passed over. */
export const parsePrometheus = (text: string, wanted: (name: string) => boolean): readonly Sample[] => {
  const samples: Sample[] = [];
  for (const raw of text.split("\n")) {
    const match = line.exec(raw);
    if (!match || !wanted(match[1] ?? "")) continue;
    const labels = new Map<string, string>();
    for (const [, key = "", value = ""] of (match[2] ?? "").matchAll(label)) {
      labels.set(
        key,
        value.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped)),
      );
    }
    samples.push({ name: match[1] ?? "", labels, value: Number(match[3]) });
  }
  return samples;
};

/** The value below which `share` of a histogram's counts lie, from cumulative buckets, linear inside a bucket. */
export const quantile = (
  buckets: readonly { readonly le: number; readonly count: number }[],
  share: number,
): number => {
  const sorted = [...buckets].sort((a, b) => a.le - b.le);
  const total = sorted.at(-1)?.count ?? 0;
  if (total === 0) return 0;
  let below = { le: 0, count: 0 };
  for (const bucket of sorted) {
    if (bucket.count >= total * share) {
      if (!Number.isFinite(bucket.le)) return below.le;
      const inside = bucket.count - below.count;
      return below.le + (bucket.le - below.le) * (inside === 0 ? 0 : (total * share - below.count) / inside);
    }
    below = bucket;
  }
  return below.le;
};
