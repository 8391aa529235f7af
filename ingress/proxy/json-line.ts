import type { AccessEntry } from "./context.ts";
import { isoTime, thousandths } from "./log-numbers.ts";

/**
 * Put together by hand: JSON.stringify takes several times as long, and this stands in every request's way. What lines have in common
 * stands together, as one text that is known.
 */
export function printJson(e: AccessEntry): string {
  const place = placeOf(e);
  return (
    `{"time":"${isoTime(e.time)}","clientIp":${shared(e.clientIp)},"target":${quoted(e.target)},"status":${e.status},` +
    `"requestBytes":${e.requestBytes},"responseBytes":${e.responseBytes},"milliseconds":${thousandths(e.milliseconds)}` +
    `${e.upstreamTimes === undefined ? "" : `,"upstreamMilliseconds":${thousandths(e.upstreamTimes.wholeMs)}`}` +
    `,"upstream":${shared(e.upstream)},"userAgent":${quoted(e.userAgent)},"requestId":${quoted(e.requestId)}${place.text}${restOf(e)}}`
  );
}

const noRest = ',"reason":"","referer":"","user":"","traceId":"","spanId":""';

function restOf({ reason, referer, user, traceId, spanId }: AccessEntry): string {
  if (reason === "" && referer === "" && user === "" && traceId === "" && spanId === "") return noRest;
  return `,"reason":${shared(reason)},"referer":${quoted(referer)},"user":${quoted(user)},"traceId":${quoted(traceId)},"spanId":${quoted(spanId)}`;
}

function quoted(text: string): string {
  if (text === "") return '""';
  return /[^ !#-[\]-~]/.test(text) ? JSON.stringify(text) : `"${text}"`;
}

/** Texts remembered, and routes; then all are forgotten. */
const most = 1_000;

const known = new Map<string, string>();

/** Characters; what is longer is quoted each time. */
const mostShared = 256;

/** As quoted, for what many lines have in common. */
function shared(text: string): string {
  if (text.length > mostShared) return quoted(text);
  return known.get(text) ?? remember(known, copied(text), copied(quoted(text)));
}

/** In one piece: what is cut from a head keeps all of it. */
function copied(text: string): string {
  return Buffer.from(text).toString();
}

function remember<T>(all: Map<string, T>, key: string, value: T): T {
  if (all.size >= most) all.clear();
  all.set(key, value);
  return value;
}

/** What the lines of one route have in common, the Service it goes to included. */
interface Place extends Pick<AccessEntry, "method" | "host" | "protocol" | "service" | "namespace" | "ingress" | "servicePort" | "canary"> {
  readonly text: string;
}

const places = new Map<string, Place>();

function placeOf(e: AccessEntry): Place {
  const known = places.get(e.route);
  return known !== undefined && isOf(known, e) ? known : remember(places, e.route, printPlace(e));
}

function isOf(p: Place, e: AccessEntry): boolean {
  if (p.method !== e.method || p.host !== e.host || p.protocol !== e.protocol) return false;
  return (
    p.service === e.service &&
    p.servicePort === e.servicePort &&
    p.ingress === e.ingress &&
    p.namespace === e.namespace &&
    p.canary === e.canary
  );
}

function printPlace({ method, host, protocol, route, service, namespace, ingress, servicePort, canary }: AccessEntry): Place {
  const asked = `,"method":${shared(method)},"host":${shared(host)},"protocol":${shared(protocol)}`;
  const chosen = `,"route":${quoted(route)},"service":${quoted(service)},"namespace":${quoted(namespace)},"ingress":${quoted(ingress)}`;
  const text = `${asked}${chosen},"servicePort":${servicePort},"canary":${quoted(canary)}`;
  const own = { method: copied(method), host: copied(host), protocol };
  return { ...own, service, namespace, ingress, servicePort, canary, text: copied(text) };
}
