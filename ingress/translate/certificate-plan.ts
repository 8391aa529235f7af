import type { ObjectKey, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Compiled, ObjectRef, Problem } from "../../src/snapshot/problem.ts";
import { compareText } from "../route/match-order.ts";
import type { Certificate } from "../route/route.ts";
import type { IngressPlan } from "./ingress-plan.ts";
import { pairFault } from "./tls-secrets.ts";
import { dataOf } from "./user-list.ts";

/** The certificate for one server name: of the oldest Ingress whose Secret holds a pair that fits. */
export function compileCertificate(snapshot: Snapshot, host: string, plans: readonly IngressPlan[]): Compiled<Certificate | undefined> {
  const problems: Problem[] = [];
  let chosen: Certificate | undefined;
  const byAge = plans.toSorted((a, b) => compareText(a.created, b.created) || compareText(a.object.name, b.object.name));
  for (const plan of byAge) {
    for (const claim of plan.tls) {
      if (claim.host !== host || claim.secret === undefined) continue;
      const read = readPair(snapshot, claim.secret, host);
      if ("fault" in read) {
        problems.push({
          object: plan.object,
          field: `${claim.field}.secretName`,
          reason: read.reason,
          message: `Secret ${claim.secret}: ${read.fault}; ${host} is shown the default certificate`,
        });
      } else chosen ??= read;
    }
  }
  return { plan: chosen, problems };
}

export function sameCertificate(a: Certificate, b: Certificate): boolean {
  return a.certificate === b.certificate && a.key === b.key && a.object.name === b.object.name && a.object.namespace === b.object.namespace;
}

interface Fault {
  readonly reason: string;
  readonly fault: string;
}

function readPair(snapshot: Snapshot, key: ObjectKey, host: string): Certificate | Fault {
  const secret = snapshot.tables.Secret.get(key);
  if (secret === undefined) return { reason: "SecretNotFound", fault: "there is none" };
  const certificate = dataOf(secret, "tls.crt");
  const privateKey = dataOf(secret, "tls.key");
  if (certificate === undefined || privateKey === undefined)
    return { reason: "InvalidSecret", fault: "it has not both tls.crt and tls.key" };
  const fault = pairFault(certificate, privateKey);
  if (fault !== undefined) return { reason: "InvalidSecret", fault };
  const slash = key.indexOf("/");
  const object: ObjectRef = { kind: "Secret", namespace: key.slice(0, slash), name: key.slice(slash + 1) };
  return { host, certificate, key: privateKey, object };
}
