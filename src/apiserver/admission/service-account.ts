import { type Draft, draftOf } from "../../api/json-value.ts";
import { findResource, type Resource } from "../../api/scheme.ts";
import { forbidden } from "../../api/status-error.ts";
import type { Container, Pod, PodSpec, ServiceAccount, Volume } from "../../api/types/core-v1.generated.ts";
import type { ApiContext } from "../call.ts";
import { generateName } from "../object-name.ts";
import type { ApiObject } from "../registry.ts";

const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
/** A little over an hour: long enough for a kubelet to have renewed it, as Kubernetes asks for. */
const tokenSeconds = 3607;
const tries = 40;
const betweenTries = 50;

/** Gives a pod its service account and mounts a token, the cluster's root certificate and the namespace into each container. */
export async function admitServiceAccount(
  context: ApiContext,
  resource: Resource,
  object: ApiObject,
  namespace: string,
): Promise<ApiObject> {
  if (resource.kind !== "Pod" || resource.group !== "") return object;
  // A mirror of what a node runs by itself has no account.
  if (object.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined) return object;
  const given = (object as Pod).spec;
  if (given === undefined) return object;
  const spec: Draft<PodSpec> = { ...(given as Draft<PodSpec>) }; // what is below it is replaced, never changed
  spec.serviceAccountName ||= "default";
  spec.serviceAccount = spec.serviceAccountName;
  const account = await findAccount(context, namespace, spec.serviceAccountName);
  if (account === undefined) {
    const why = `error looking up service account ${namespace}/${spec.serviceAccountName}: serviceaccount ${JSON.stringify(spec.serviceAccountName)} not found`;
    throw forbidden(resource, object.metadata.name ?? "", why);
  }
  if ((spec.imagePullSecrets ?? []).length === 0 && account.imagePullSecrets !== undefined) {
    spec.imagePullSecrets = draftOf(account.imagePullSecrets) as Draft<NonNullable<PodSpec["imagePullSecrets"]>>;
  }
  if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(spec, context.random);
  return { ...object, spec };
}

/** The default account of a namespace is made by a controller: a pod that comes right behind its namespace waits for it. */
async function findAccount(context: ApiContext, namespace: string, name: string): Promise<ServiceAccount | undefined> {
  const resource = findResource("", "v1", "serviceaccounts");
  if (resource === undefined) return undefined;
  for (let attempt = 1; ; attempt++) {
    const found = context.registry.findOften(resource, `${namespace}/${name}`);
    if (found !== undefined) return found as ServiceAccount;
    if (name !== "default" || attempt === tries) return undefined;
    await context.clock.sleep(betweenTries);
  }
}

function mountToken(spec: Draft<PodSpec>, random: () => number): void {
  const existing = (spec.volumes ?? []).find((v) => isTokenVolume(v));
  const name = existing?.name ?? generateName("kube-api-access-", random);
  let used = false;
  const mounted = (container: Draft<Container>): Draft<Container> => {
    if ((container.volumeMounts ?? []).some((m) => m.mountPath === mountPath)) return container;
    used = true;
    return { ...container, volumeMounts: [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath }] };
  };
  for (const list of ["initContainers", "containers"] as const) {
    const given = spec[list] as readonly Draft<Container>[] | undefined;
    if (given !== undefined) spec[list] = given.map(mounted);
  }
  if (used && existing === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function isTokenVolume(volume: Volume): boolean {
  return volume.name.startsWith("kube-api-access-") && (volume.projected?.sources ?? []).some((s) => s.serviceAccountToken !== undefined);
}

function tokenVolume(name: string): Draft<Volume> {
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        { downwardAPI: { items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }] } },
      ],
      defaultMode: 0o644,
    },
  };
}
