import type { Fill } from "./fill.ts";

/** Labels of every object: `app: istiod` is what monitors of Istio select. */
export const commonLabels = (fill: Fill) => ({
  app: "istiod",
  "app.kubernetes.io/name": "weft",
  "app.kubernetes.io/part-of": "weft",
  "istio.io/rev": fill.text("revision"),
});

/** The control plane's pods, and nobody else's. */
export const podSelector = (fill: Fill) => ({ app: "istiod", "istio.io/rev": fill.text("revision") });
