import type { Pod } from "../api/types/core-v1.generated.ts";

/** The names of all ConfigMaps and Secrets that a pod's containers and volumes refer to. */
export function podReferences(pod: Pod): { readonly configMap: readonly string[]; readonly secret: readonly string[] } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  const spec = pod.spec ?? {};
  const add = (set: Set<string>, name: string | undefined): void => {
    if (name !== undefined && name !== "") set.add(name);
  };
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    for (const from of container.envFrom ?? []) {
      add(configMaps, from.configMapRef?.name);
      add(secrets, from.secretRef?.name);
    }
    for (const variable of container.env ?? []) {
      add(configMaps, variable.valueFrom?.configMapKeyRef?.name);
      add(secrets, variable.valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    add(configMaps, volume.configMap?.name);
    add(secrets, volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add(configMaps, source.configMap?.name);
      add(secrets, source.secret?.name);
    }
  }
  return { configMap: [...configMaps], secret: [...secrets] };
}
