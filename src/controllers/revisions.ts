import { isRecord, semanticEqual } from "../api/json-value.ts";
import type { ControllerRevision } from "../api/types/apps-v1.generated.ts";
import type { PodTemplateSpec } from "../api/types/core-v1.generated.ts";
import type { Resource } from "../client/resource.ts";
import { resources } from "../client/resources.ts";
import type { Write } from "./outcome.ts";
import { controllerRef, isControlledBy, type Owned } from "./owner.ts";
import { contentHash } from "./pod-template.ts";

export const revisionHashLabel = "controller-revision-hash";

export interface Revisions {
  /** That of the template as it is now; undefined while it is being made. */
  readonly update: ControllerRevision | undefined;
  readonly writes: readonly Write[];
  readonly collisionCount: number | undefined;
}

export interface RevisionsInput {
  readonly of: Resource;
  readonly owner: Owned;
  readonly template: PodTemplateSpec;
  /** Those it controls and selects. */
  readonly existing: readonly ControllerRevision[];
  readonly named: (name: string) => ControllerRevision | undefined;
  readonly collisionCount: number | undefined;
}

/** Finds or makes the revision of a template. Coming back to an older one makes that one the newest. */
export function currentRevision(input: RevisionsInput): Revisions {
  const { collisionCount } = input;
  const sorted = [...input.existing].sort((a, b) => a.revision - b.revision);
  const newest = sorted.at(-1);
  const data = dataOf(input.template);
  const same = sorted.filter((r) => semanticEqual(r.data, data)).at(-1);
  if (same !== undefined) {
    if (same === newest) return { update: same, writes: [], collisionCount };
    const object = { ...same, revision: (newest?.revision ?? 0) + 1 } as ControllerRevision;
    return { update: same, writes: [{ kind: "update", of: resources.controllerRevisions, object }], collisionCount };
  }
  const hash = contentHash(input.template, collisionCount ?? 0);
  const { namespace, name } = input.owner.metadata ?? {};
  const full = `${name ?? ""}-${hash}`;
  const taken = input.named(full);
  if (taken !== undefined && !(isControlledBy(taken, input.owner) && semanticEqual(taken.data, data))) {
    return { update: undefined, writes: [], collisionCount: (collisionCount ?? 0) + 1 };
  }
  const object: ControllerRevision = {
    metadata: {
      namespace: namespace ?? "",
      name: full,
      labels: { ...input.template.metadata?.labels, [revisionHashLabel]: hash },
      ownerReferences: [controllerRef(input.of, input.owner)],
    },
    data,
    revision: (newest?.revision ?? 0) + 1,
  };
  return { update: undefined, writes: [{ kind: "create", of: resources.controllerRevisions, object }], collisionCount };
}

/** A strategic merge patch that brings the template back, as `kubectl rollout undo` applies it. */
function dataOf(template: PodTemplateSpec): unknown {
  return { spec: { template: { ...template, $patch: "replace" } } };
}

/** The template that a revision holds. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec | undefined {
  const spec = isRecord(revision.data) ? revision.data["spec"] : undefined;
  const template = isRecord(spec) ? spec["template"] : undefined;
  if (!isRecord(template)) return undefined;
  const { $patch: _, ...rest } = template;
  return rest as PodTemplateSpec;
}

/** Revisions beyond the limit that nothing lives by. */
export function surplusRevisions(
  existing: readonly ControllerRevision[],
  isLive: (r: ControllerRevision) => boolean,
  limit: number,
): readonly Write[] {
  const idle = existing.filter((r) => !isLive(r)).sort((a, b) => a.revision - b.revision);
  return idle.slice(0, Math.max(0, idle.length - limit)).map((object) => ({ kind: "delete", of: resources.controllerRevisions, object }));
}
