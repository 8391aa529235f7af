import { findResource } from "../../api/scheme.ts";
import { badRequest, conflict, invalid, notFound } from "../../api/status-error.ts";
import type { TokenRequest } from "../../api/types/authentication-v1.generated.ts";
import { type Answer, json } from "../answer.ts";
import { readObject } from "../body.ts";
import { type Call, timestamp } from "../call.ts";
import { keyOf } from "../registry.ts";

const tokenType = {
  group: "authentication.k8s.io",
  version: "v1",
  kind: "TokenRequest",
  type: "io.k8s.api.authentication.v1.TokenRequest",
};
const shortest = 600;
const longest = 2 ** 32;

/** A token of the service account for the time, the audiences and the pod asked for. */
export async function createToken(call: Call): Promise<Answer> {
  const request = (await readObject(call, tokenType)) as unknown as TokenRequest;
  const { context, info } = call;
  const found = context.registry.find(call.resource, keyOf(info.namespace, info.name));
  if (found === undefined) throw notFound(call.resource, info.name);
  const spec = request.spec ?? {};
  const seconds = spec.expirationSeconds ?? 3600;
  if (seconds < shortest || seconds > longest) {
    const detail =
      seconds < shortest ? "may not specify a duration less than 10 minutes" : "may not specify a duration larger than 2^32 seconds";
    throw invalid({ group: tokenType.group, plural: "tokenrequests", kind: "TokenRequest" }, "", [
      { type: "Invalid", field: "spec.expirationSeconds", badValue: seconds, detail },
    ]);
  }
  const account = { name: info.name, uid: found.object.metadata.uid ?? "" };
  const pod = podOf(call, spec.boundObjectRef);
  const issued = context.tokens.issue(
    { namespace: info.namespace, account, ...(pod === undefined ? {} : { pod }) },
    spec.audiences ?? [],
    seconds,
  );
  return json(
    {
      kind: "TokenRequest",
      apiVersion: "authentication.k8s.io/v1",
      metadata: { name: info.name, namespace: info.namespace, creationTimestamp: timestamp(context.clock) },
      spec: { ...spec, audiences: spec.audiences?.length ? spec.audiences : context.tokens.audiences, expirationSeconds: seconds },
      status: { token: issued.token, expirationTimestamp: `${issued.expires.toISOString().slice(0, 19)}Z` },
    },
    201,
  );
}

function podOf(
  call: Call,
  ref: NonNullable<TokenRequest["spec"]>["boundObjectRef"],
): { readonly name: string; readonly uid: string } | undefined {
  if (ref === undefined || ref === null) return undefined;
  const pods = findResource("", "v1", "pods");
  if (ref.kind !== "Pod" || pods === undefined)
    throw badRequest(`cannot bind token for serviceaccount ${JSON.stringify(call.info.name)} to kind ${JSON.stringify(ref.kind)}`);
  const name = ref.name ?? "";
  const pod = call.context.registry.find(pods, keyOf(call.info.namespace, name));
  if (pod === undefined) throw notFound(pods, name);
  const uid = pod.object.metadata.uid ?? "";
  if ((ref.uid ?? "") !== "" && ref.uid !== uid) {
    throw conflict(
      pods,
      name,
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  return { name, uid };
}
