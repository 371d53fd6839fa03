/** Labels that a selector of Kubernetes' form selects: `matchLabels`, `matchExpressions`, or both. */

export type Labels = Readonly<Record<string, string>>;

export interface LabelSelector {
  readonly matchLabels?: Labels | undefined;
  readonly matchExpressions?: readonly LabelExpression[] | undefined;
}

export interface LabelExpression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
}

/** Everything must hold; a selector that says nothing selects all. An operator that is not known holds nowhere. */
export const selectsLabels = ({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean =>
  Object.entries(matchLabels).every(([key, value]) => labelIn(labels, key) === value) &&
  matchExpressions.every((expression) => holds(expression, labelIn(labels, expression.key)));

const labelIn = (labels: Labels, key: string): string | undefined =>
  Object.hasOwn(labels, key) ? labels[key] : undefined;

const holds = ({ operator, values = [] }: LabelExpression, value: string | undefined): boolean => {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      // As in Kubernetes, also where there is no such label.
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return false;
  }
};
