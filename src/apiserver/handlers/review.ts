import type { SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview } from "../../api/types/authorization-v1.generated.ts";
import { type Answer, json } from "../answer.ts";
import { type Attributes, isAllowed } from "../authz/authorizer.ts";
import { readObject } from "../body.ts";
import type { Call } from "../call.ts";
import type { User } from "../user.ts";

type Reviewed = Pick<Call, "context" | "query" | "headers" | "body" | "warn" | "user">;

export interface Review {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
  answer(call: Call): Promise<Answer>;
}

const authorization = "authorization.k8s.io";
const typeOf = (group: string, folder: string, kind: string) => ({ group, version: "v1", kind, type: `io.k8s.api.${folder}.v1.${kind}` });

/** Questions about what somebody may do, which are asked by creating an object that is not stored. */
export const reviews: readonly Review[] = [
  { group: authorization, plural: "selfsubjectaccessreviews", kind: "SelfSubjectAccessReview", answer: selfAccess },
  { group: authorization, plural: "selfsubjectrulesreviews", kind: "SelfSubjectRulesReview", answer: selfRules },
  { group: authorization, plural: "subjectaccessreviews", kind: "SubjectAccessReview", answer: access },
  { group: "authentication.k8s.io", plural: "selfsubjectreviews", kind: "SelfSubjectReview", answer: selfReview },
];

async function selfAccess(call: Call): Promise<Answer> {
  const review = (await readObject(
    call,
    typeOf(authorization, "authorization", "SelfSubjectAccessReview"),
  )) as unknown as SelfSubjectAccessReview;
  return json({ ...review, status: statusFor(call.user, review.spec) }, 201);
}

async function access(call: Call): Promise<Answer> {
  const review = (await readObject(call, typeOf(authorization, "authorization", "SubjectAccessReview"))) as unknown as SubjectAccessReview;
  const user: User = { name: review.spec?.user ?? "", groups: review.spec?.groups ?? [] };
  return json({ ...review, status: statusFor(user, review.spec) }, 201);
}

async function selfRules(call: Call): Promise<Answer> {
  const review = (await readObject(
    call,
    typeOf(authorization, "authorization", "SelfSubjectRulesReview"),
  )) as unknown as SelfSubjectRulesReview;
  const all = isAllowed(call.user, { kind: "resource", verb: "*", group: "*", plural: "*", subresource: "", namespace: "", name: "" });
  const status = {
    resourceRules: all ? [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }] : [],
    nonResourceRules: all
      ? [{ verbs: ["*"], nonResourceURLs: ["*"] }]
      : [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version"] }],
    incomplete: false,
  };
  return json({ ...review, status }, 201);
}

async function selfReview(call: Reviewed): Promise<Answer> {
  const { name, uid, groups, extra } = call.user;
  const userInfo = { username: name, ...(uid === undefined ? {} : { uid }), groups, ...(extra === undefined ? {} : { extra }) };
  const metadata = { creationTimestamp: new Date(call.context.clock.now()).toISOString().replace(/\.\d+/, "") };
  return json({ kind: "SelfSubjectReview", apiVersion: "authentication.k8s.io/v1", metadata, status: { userInfo } }, 201);
}

function statusFor(user: User, spec: SelfSubjectAccessReview["spec"]): object {
  const allowed = isAllowed(user, attributesIn(spec));
  return allowed ? { allowed } : { allowed, reason: "only system:masters and fairway's own components may, until there is RBAC" };
}

function attributesIn(spec: SelfSubjectAccessReview["spec"]): Attributes {
  const path = spec?.nonResourceAttributes;
  if (path !== undefined) return { kind: "path", verb: path.verb ?? "", path: path.path ?? "" };
  const asked = spec?.resourceAttributes ?? {};
  return {
    kind: "resource",
    verb: asked.verb ?? "",
    group: asked.group ?? "",
    plural: asked.resource ?? "",
    subresource: asked.subresource ?? "",
    namespace: asked.namespace ?? "",
    name: asked.name ?? "",
  };
}
