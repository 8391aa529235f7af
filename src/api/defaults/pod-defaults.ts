import type { Draft } from "../json-value.ts";
import { ceilToMilli } from "../quantity.ts";
import type { Container, EnvVar, EphemeralContainer, LifecycleHandler, Pod, PodSpec, Probe, Volume } from "../types/core-v1.generated.ts";

/** Octal 0644, as the API writes it. */
const readableByAll = 420;

/** What a Pod gets: all that a template gets, and what is settled only when a pod is made of it. */
export function defaultPod(pod: Draft<Pod>): void {
  const { spec, status } = pod;
  // The old field and the first of the new ones are the same address; the old one wins where they differ.
  if (status?.podIP && status.podIPs?.[0]?.ip !== status.podIP) status.podIPs = [{ ip: status.podIP }];
  else if (status?.podIPs?.[0]?.ip) status.podIP = status.podIPs[0].ip;
  if (spec === undefined) return;
  defaultPodSpec(spec);
  spec.enableServiceLinks ??= true;
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1;
  for (const container of containersOf(spec)) {
    defaultRequests(container);
    if (spec.hostNetwork === true) for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
}

/** What every pod spec gets, also inside a template. */
export function defaultPodSpec(spec: Draft<PodSpec>): void {
  spec.restartPolicy ||= "Always";
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ||= "ClusterFirst";
  spec.securityContext ??= {};
  spec.schedulerName ||= "default-scheduler";
  // The old name of the field is still served beside the new one.
  if ((spec.serviceAccountName ?? "") === "" && (spec.serviceAccount ?? "") !== "") spec.serviceAccountName = spec.serviceAccount as string;
  if ((spec.serviceAccountName ?? "") !== "") spec.serviceAccount = spec.serviceAccountName as string;
  for (const container of containersOf(spec)) defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
}

const pathPart = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const hostPart = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const host = `(?:${hostPart}(?:\\.${hostPart})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const imageName = new RegExp(
  `^((?:${host}/)?${pathPart}(?:/${pathPart})*)(?::([\\w][\\w.-]{0,127}))?(@[A-Za-z][\\w+.-]*:[0-9a-fA-F]{32,})?$`,
);
const maxImageName = 255;

/** An image that has no tag and no digest is meant as `latest`; what is no image name at all is not. */
export function isLatestImage(image: string): boolean {
  const [, name = "", tag, digest] = imageName.exec(image) ?? [];
  if (name === "" || name.length > maxImageName) return false;
  return digest === undefined ? tag === undefined || tag === "latest" : tag === "latest";
}

function containersOf(spec: Draft<PodSpec>): Draft<Container>[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
}

function defaultContainer(container: Draft<Container> | Draft<EphemeralContainer>): void {
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  container.imagePullPolicy ||= isLatestImage(container.image ?? "") ? "Always" : "IfNotPresent";
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  for (const variable of container.env ?? []) defaultEnvironment(variable);
  for (const list of [container.resources?.limits, container.resources?.requests]) {
    for (const name of Object.keys(list ?? {})) if (list !== undefined) list[name] = ceilToMilli(list[name] ?? "0");
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe])
    if (probe !== undefined) defaultProbe(probe);
  for (const hook of [container.lifecycle?.postStart, container.lifecycle?.preStop]) if (hook !== undefined) defaultHttpGet(hook);
}

function defaultEnvironment(variable: Draft<EnvVar>): void {
  const field = variable.valueFrom?.fieldRef;
  if (field !== undefined) field.apiVersion ||= "v1";
}

function defaultProbe(probe: Draft<Probe>): void {
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  defaultHttpGet(probe);
  if (probe.grpc !== undefined) probe.grpc.service ??= "";
}

function defaultHttpGet(handler: Draft<Pick<LifecycleHandler, "httpGet">>): void {
  if (handler.httpGet === undefined) return;
  handler.httpGet.path ||= "/";
  handler.httpGet.scheme ||= "HTTP";
}

function defaultVolume(volume: Draft<Volume>): void {
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) volume.emptyDir = {};
  if (volume.secret !== undefined) volume.secret.defaultMode ??= readableByAll;
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= readableByAll;
  if (volume.hostPath !== undefined) volume.hostPath.type ??= "";
  if (volume.image !== undefined) volume.image.pullPolicy ||= isLatestImage(volume.image.reference ?? "") ? "Always" : "IfNotPresent";
  for (const item of volume.downwardAPI?.items ?? []) if (item.fieldRef !== undefined) item.fieldRef.apiVersion ||= "v1";
  if (volume.downwardAPI !== undefined) volume.downwardAPI.defaultMode ??= readableByAll;
  if (volume.projected === undefined) return;
  volume.projected.defaultMode ??= readableByAll;
  for (const source of volume.projected.sources ?? []) {
    if (source.serviceAccountToken !== undefined) source.serviceAccountToken.expirationSeconds ??= 3600;
    for (const item of source.downwardAPI?.items ?? []) if (item.fieldRef !== undefined) item.fieldRef.apiVersion ||= "v1";
  }
}

/** Of a resource with a limit only, as much is requested. */
function defaultRequests(container: Draft<Container>): void {
  const limits = container.resources?.limits;
  if (container.resources === undefined || limits === undefined || Object.keys(limits).length === 0) return;
  container.resources.requests = { ...limits, ...container.resources.requests };
}
