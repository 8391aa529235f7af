import type { TextPart } from "../route/request-text.ts";
import type { AnnotationReader } from "./annotation-reader.ts";

export interface RedirectOptions {
  readonly sslRedirect: boolean;
  readonly forceSslRedirect: boolean;
  readonly redirect?: { readonly status: number; readonly location: readonly TextPart[] };
  readonly fromToWww: boolean;
  /** Redirects to a path of this host say only the path. */
  readonly relativeRedirects: boolean;
}

export function parseRedirect(a: AnnotationReader): RedirectOptions {
  const temporal = a.get("temporal-redirect");
  const temporalStatus = a.get("temporal-redirect-code") ?? 302;
  const permanent = a.get("permanent-redirect");
  const permanentStatus = a.get("permanent-redirect-code") ?? 301;
  const redirect =
    temporal !== undefined
      ? { status: temporalStatus, location: temporal }
      : permanent === undefined
        ? undefined
        : { status: permanentStatus, location: permanent };
  return {
    sslRedirect: a.get("ssl-redirect") ?? true,
    forceSslRedirect: a.get("force-ssl-redirect") ?? false,
    ...(redirect === undefined ? {} : { redirect }),
    fromToWww: a.get("from-to-www-redirect") ?? false,
    relativeRedirects: a.get("relative-redirects") ?? false,
  };
}
