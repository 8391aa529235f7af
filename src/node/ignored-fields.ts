import type { Container, Pod } from "../api/types/core-v1.generated.ts";

/** What a pod asks for and this node does not do; the pod runs without, and is told. */
export function ignoredFields({ spec }: Pod): readonly string[] {
  const found: string[] = [];
  const note = (path: string, asked: boolean): void => {
    if (asked) found.push(path);
  };
  const security = spec?.securityContext;
  note("spec.shareProcessNamespace", spec?.shareProcessNamespace === true);
  note("spec.hostIPC", spec?.hostIPC === true);
  note("spec.hostUsers", spec?.hostUsers === false);
  note("spec.resourceClaims", (spec?.resourceClaims ?? []).length > 0);
  note("spec.ephemeralContainers", (spec?.ephemeralContainers ?? []).length > 0);
  note("spec.securityContext.seLinuxOptions", security?.seLinuxOptions !== undefined);
  note("spec.securityContext.seccompProfile", security?.seccompProfile?.type === "Localhost");
  note("spec.securityContext.appArmorProfile", security?.appArmorProfile?.type === "Localhost");
  for (const [list, containers] of [
    ["initContainers", spec?.initContainers ?? []],
    ["containers", spec?.containers ?? []],
  ] as const) {
    for (const [i, container] of containers.entries()) found.push(...ofContainer(container).map((path) => `spec.${list}[${i}].${path}`));
  }
  return found;
}

function ofContainer({ securityContext: security, volumeDevices, volumeMounts }: Container): readonly string[] {
  return [
    ...(security?.seLinuxOptions === undefined ? [] : ["securityContext.seLinuxOptions"]),
    ...(security?.seccompProfile?.type === "Localhost" ? ["securityContext.seccompProfile"] : []),
    ...(security?.appArmorProfile?.type === "Localhost" ? ["securityContext.appArmorProfile"] : []),
    ...((volumeDevices ?? []).length > 0 ? ["volumeDevices"] : []),
    ...((volumeMounts ?? []).some((m) => m.mountPropagation === "Bidirectional" || m.mountPropagation === "HostToContainer")
      ? ["volumeMounts.mountPropagation"]
      : []),
  ];
}
