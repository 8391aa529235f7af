/** The object a problem, an event or an explanation is about. */
export interface ObjectRef {
  readonly kind: string;
  /** Absent for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly name: string;
}

/** A refusal or doubt about one object, as data; the edge turns it into Events, conditions, logs and metrics. */
export interface Problem {
  readonly object: ObjectRef;
  /** Path in the object, as Kubernetes writes it: `spec.ports[0].nodePort`. */
  readonly field: string;
  /** UpperCamelCase word for machines: `PortConflict`. */
  readonly reason: string;
  /** For a person: what is wrong, with whom it clashes, what to do. */
  readonly message: string;
}

/** What a pure stage returns: bad objects are left out of the plan and named in `problems`. */
export interface Compiled<V> {
  readonly plan: V;
  readonly problems: readonly Problem[];
}

/** Two problems with one key say the same of the same object. */
export function problemKey({ object, field, message }: Problem): string {
  return `${printObjectRef(object)} ${field} ${message}`;
}

/** The first of each that says the same. */
export function distinctProblems(problems: readonly Problem[]): readonly Problem[] {
  return [...new Map(problems.toReversed().map((p) => [problemKey(p), p])).values()].toReversed();
}

/** `Service shop/web`, `Node node-1`. */
export function printObjectRef(ref: ObjectRef): string {
  return ref.namespace === undefined ? `${ref.kind} ${ref.name}` : `${ref.kind} ${ref.namespace}/${ref.name}`;
}
