import type { AccessEntry } from "./context.ts";
import { isoTime, thousandths } from "./log-numbers.ts";

/** Put together by hand: JSON.stringify takes several times as long, and this stands in every request's way. */
export function printJson(e: AccessEntry): string {
  const { route, object } = placeOf(e);
  return (
    `{"time":"${isoTime(e.time)}","clientIp":${quoted(e.clientIp)},"method":${shared(e.method)},"host":${shared(e.host)},` +
    `"target":${quoted(e.target)},"protocol":${shared(e.protocol)},"status":${e.status},"requestBytes":${e.requestBytes},` +
    `"responseBytes":${e.responseBytes}${route}${shared(e.upstream)},"reason":${shared(e.reason)},` +
    `"referer":${quoted(e.referer)},"userAgent":${quoted(e.userAgent)},"requestId":${quoted(e.requestId)},"user":${quoted(e.user)}${object}` +
    `,"traceId":${quoted(e.traceId)},"spanId":${quoted(e.spanId)},"milliseconds":${thousandths(e.milliseconds)}` +
    `${e.upstreamTimes === undefined ? "}" : `,"upstreamMilliseconds":${thousandths(e.upstreamTimes.wholeMs)}}`}`
  );
}

function quoted(text: string): string {
  if (text === "") return '""';
  return /[^ !#-[\]-~]/.test(text) ? JSON.stringify(text) : `"${text}"`;
}

/** Texts remembered, and routes; then all are forgotten. */
const most = 1_000;

const known = new Map<string, string>();

/** As quoted, for what many lines have in common. */
function shared(text: string): string {
  return known.get(text) ?? remember(known, text, quoted(text));
}

function remember<T>(all: Map<string, T>, key: string, value: T): T {
  if (all.size >= most) all.clear();
  all.set(key, value);
  return value;
}

/** What the lines of one route have in common, the Service it goes to included. */
interface Place extends Pick<AccessEntry, "service" | "namespace" | "ingress" | "servicePort" | "canary"> {
  /** From route to where the endpoint is named. */
  readonly route: string;
  readonly object: string;
}

const places = new Map<string, Place>();

function placeOf(e: AccessEntry): Place {
  const { service, namespace, ingress, servicePort, canary } = e;
  const p = places.get(e.route);
  if (p?.service === service && p.servicePort === servicePort && p.ingress === ingress && p.namespace === namespace && p.canary === canary)
    return p;
  return remember(places, e.route, {
    service,
    namespace,
    ingress,
    servicePort,
    canary,
    route: `,"route":${quoted(e.route)},"service":${quoted(service)},"upstream":`,
    object: `,"namespace":${quoted(namespace)},"ingress":${quoted(ingress)},"servicePort":${servicePort},"canary":${quoted(canary)}`,
  });
}
