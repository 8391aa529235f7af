/** Codings that this proxy can make, the best first where a client has no preference. */
export type Coding = "zstd" | "br" | "gzip";

/** What a client prefers of the offered codings (RFC 9110 section 12.5.3); `undefined`: the body as it is. */
export function preferredCoding(acceptEncoding: string | undefined, offered: readonly Coding[]): Coding | undefined {
  if (acceptEncoding === undefined) return undefined;
  const weights = parseWeights(acceptEncoding);
  const any = weights.get("*");
  const weightOf = (coding: string): number => weights.get(coding) ?? (coding === "gzip" ? weights.get("x-gzip") : undefined) ?? any ?? 0;
  let best: Coding | undefined;
  for (const coding of offered) if (weightOf(coding) > (best === undefined ? 0 : weightOf(best))) best = coding;
  return best !== undefined && weightOf(best) >= (weights.get("identity") ?? 0) ? best : undefined;
}

/** Weights of 0 to 1 by coding, lower case; what is no weight counts as not acceptable. */
function parseWeights(header: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>();
  for (const part of header.split(",")) {
    const [name = "", ...parameters] = part.split(";").map((t) => t.trim().toLowerCase());
    if (name === "") continue;
    const q = parameters.find((p) => p.startsWith("q="));
    const weight = q === undefined ? 1 : /^q=(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$/.test(q) ? Number(q.slice(2)) : 0;
    weights.set(name, weight);
  }
  return weights;
}
