import { type FieldError, forbidden, invalid, notSupported, required } from "../field-error.ts";
import type { Lifecycle, LifecycleHandler, Probe, ProbeHandler } from "../types/core-v1.generated.ts";
import { httpHeaderName } from "./names.ts";
import { nonNegative } from "./numbers.ts";
import { validatePortReference } from "./service-validation.ts";

type Handler = ProbeHandler & LifecycleHandler;

/** The three probes of a container. `graceSeconds` is the pod's own grace period. */
export function validateProbes(
  container: { readonly livenessProbe?: Probe; readonly readinessProbe?: Probe; readonly startupProbe?: Probe },
  at: string,
  graceSeconds: number | undefined,
): readonly FieldError[] {
  const { livenessProbe, readinessProbe, startupProbe } = container;
  return [
    ...validateProbe(livenessProbe, `${at}.livenessProbe`, graceSeconds),
    ...mustSucceedOnce(livenessProbe, `${at}.livenessProbe`),
    ...validateProbe(readinessProbe, `${at}.readinessProbe`, graceSeconds),
    ...(readinessProbe?.terminationGracePeriodSeconds === undefined
      ? []
      : [
          invalid(
            `${at}.readinessProbe.terminationGracePeriodSeconds`,
            readinessProbe.terminationGracePeriodSeconds,
            "must not be set for readinessProbes",
          ),
        ]),
    ...validateProbe(startupProbe, `${at}.startupProbe`, graceSeconds),
    ...mustSucceedOnce(startupProbe, `${at}.startupProbe`),
  ];
}

export function validateLifecycle(lifecycle: Lifecycle, at: string, graceSeconds: number | undefined): readonly FieldError[] {
  const { postStart, preStop } = lifecycle;
  return [
    ...(postStart === undefined ? [] : validateHandler(postStart, `${at}.postStart`, graceSeconds)),
    ...(preStop === undefined ? [] : validateHandler(preStop, `${at}.preStop`, graceSeconds)),
  ];
}

function validateProbe(probe: Probe | undefined, at: string, graceSeconds: number | undefined): readonly FieldError[] {
  if (probe === undefined) return [];
  const grace = probe.terminationGracePeriodSeconds;
  return [
    ...validateHandler(probe, at, graceSeconds),
    ...nonNegative(`${at}.initialDelaySeconds`, probe.initialDelaySeconds),
    ...nonNegative(`${at}.timeoutSeconds`, probe.timeoutSeconds),
    ...nonNegative(`${at}.periodSeconds`, probe.periodSeconds),
    ...nonNegative(`${at}.successThreshold`, probe.successThreshold),
    ...nonNegative(`${at}.failureThreshold`, probe.failureThreshold),
    ...(grace !== undefined && grace <= 0 ? [invalid(`${at}.terminationGracePeriodSeconds`, grace, "must be greater than 0")] : []),
  ];
}

function mustSucceedOnce(probe: Probe | undefined, at: string): readonly FieldError[] {
  return probe === undefined || probe.successThreshold === 1
    ? []
    : [invalid(`${at}.successThreshold`, probe.successThreshold ?? 0, "must be 1")];
}

function validateHandler(handler: Handler, at: string, graceSeconds: number | undefined): readonly FieldError[] {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  const errors: FieldError[] = [];
  let handlers = 0;
  const only = (name: string, check: () => readonly FieldError[]): void => {
    if (handlers++ > 0) errors.push(forbidden(`${at}.${name}`, "may not specify more than 1 handler type"));
    else errors.push(...check());
  };
  if (exec !== undefined) only("exec", () => ((exec.command ?? []).length === 0 ? [required(`${at}.exec.command`)] : []));
  if (httpGet !== undefined) only("httpGet", () => validateHttpGet(httpGet, `${at}.httpGet`));
  if (tcpSocket !== undefined) only("tcpSocket", () => validatePortReference(`${at}.tcpSocket.port`, tcpSocket.port));
  if (grpc !== undefined) only("grpc", () => validatePortReference(`${at}.grpc.port`, grpc.port));
  if (sleep !== undefined) {
    only("sleep", () => {
      if (graceSeconds === undefined || (sleep.seconds >= 0 && sleep.seconds <= graceSeconds)) return [];
      return [invalid(`${at}.sleep`, sleep.seconds, `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`)];
    });
  }
  if (handlers === 0) errors.push(required(at, "must specify a handler type"));
  return errors;
}

function validateHttpGet(get: NonNullable<Handler["httpGet"]>, at: string): readonly FieldError[] {
  const { path = "", scheme = "", port, httpHeaders = [] } = get;
  return [
    ...(path === "" ? [required(`${at}.path`)] : []),
    ...validatePortReference(`${at}.port`, port),
    ...(scheme === "HTTP" || scheme === "HTTPS" ? [] : [notSupported(`${at}.scheme`, scheme, ["HTTP", "HTTPS"])]),
    ...httpHeaders.flatMap(({ name }) => httpHeaderName(name).map((why) => invalid(`${at}.httpHeaders`, name, why))),
  ];
}
