import type { JwtAuth } from "../route/filter.ts";
import { isBad, type Parsed, parseToken } from "./annotation-values.ts";

/** Where keys are: in an object of the same namespace, or behind a URL. */
export type KeySource = { readonly kind: "Secret" | "ConfigMap"; readonly name: string } | { readonly kind: "url"; readonly url: string };

/** `secret/name`, `configmap/name`, or a URL. */
export function parseKeySource(text: string): Parsed<KeySource> {
  const object = /^(secret|configmap)\/([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$/.exec(text);
  if (object !== null) return { kind: object[1] === "secret" ? "Secret" : "ConfigMap", name: object[2] ?? "" };
  if (/^https?:\/\/[A-Za-z0-9[][!-~]*$/.test(text) && URL.canParse(text)) return { kind: "url", url: text };
  return { expected: "secret/NAME, configmap/NAME, or an http or https URL" };
}

export function parseWords(text: string): Parsed<readonly string[]> {
  const words = text
    .split(",")
    .map((t) => t.trim())
    .filter((t) => t !== "");
  return words.length > 0 ? words : { expected: "names, comma-separated" };
}

/** `sub=X-User, realm.roles=X-Roles`. */
export function parseClaimHeaders(text: string): Parsed<JwtAuth["claimHeaders"]> {
  const pairs = text
    .split(",")
    .map((t) => t.trim())
    .filter((t) => t !== "")
    .map((t) => ({ claim: t.slice(0, Math.max(0, t.lastIndexOf("="))).trim(), header: t.slice(t.lastIndexOf("=") + 1).trim() }));
  const good = pairs.every(({ claim, header }) => claim !== "" && !isBad(parseToken(header)));
  return good ? pairs : { expected: "claims and headers, such as sub=X-User, email=X-Email" };
}
