import type { JwtAuth } from "../route/filter.ts";
import type { AnnotationReader } from "./annotation-reader.ts";
import type { KeySource } from "./jwt-values.ts";

export type JwtOptions = Omit<JwtAuth, "kind" | "keys"> & { readonly source: KeySource };

/** Tokens instead of users: ours, since ingress-nginx has nothing like it. */
export function parseJwt(a: AnnotationReader): JwtOptions | undefined {
  const source = a.get("fairway.dev/jwt-keys");
  const issuer = a.get("fairway.dev/jwt-issuer");
  const audiences = a.get("fairway.dev/jwt-audience") ?? [];
  const claimHeaders = a.get("fairway.dev/jwt-claims-to-headers") ?? [];
  const cookie = a.get("fairway.dev/jwt-cookie");
  const leewaySeconds = a.get("fairway.dev/jwt-leeway") ?? 60;
  const realm = a.get("fairway.dev/jwt-realm") ?? "";
  if (source === undefined) {
    if (issuer !== undefined || audiences.length > 0) a.refuse("fairway.dev/jwt-keys", "tokens cannot be checked without keys");
    return undefined;
  }
  return {
    source,
    realm,
    audiences,
    leewaySeconds,
    claimHeaders,
    ...(issuer === undefined ? {} : { issuer }),
    ...(cookie === undefined ? {} : { cookie }),
  };
}
