import type { CookieAffinity } from "../route/route.ts";
import type { AnnotationReader } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";

export type AffinityOptions = CookieAffinity;

export function parseAffinity(a: AnnotationReader): AffinityOptions | undefined {
  const kind = a.get("affinity");
  const affinity: AffinityOptions = {
    mode: a.get("affinity-mode") ?? "balanced",
    cookie: a.get("session-cookie-name") ?? "INGRESSCOOKIE",
    path: a.get("session-cookie-path") ?? "/",
    ...present("domain", a.get("session-cookie-domain")),
    ...present("maxAgeSeconds", a.get("session-cookie-max-age")),
    ...present("expiresSeconds", a.get("session-cookie-expires")),
    ...present("secure", a.get("session-cookie-secure")),
    ...present("sameSite", a.get("session-cookie-samesite")),
    ...present("conditionalSameSiteNone", a.get("session-cookie-conditional-samesite-none")),
    changeOnFailure: a.get("session-cookie-change-on-failure") ?? false,
  };
  return kind === undefined ? undefined : affinity;
}
