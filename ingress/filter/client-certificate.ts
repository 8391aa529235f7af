import type { FilterOf, HeaderField } from "../route/filter.ts";
import { patternOf } from "../route/pattern.ts";
import type { FilteredRequest, FilterOutcome, ShownCertificate } from "./outcome.ts";
import { redirect } from "./redirects.ts";

/** Plain requests have no certificate either: where one is due they get no further than to a redirect to https. */
export function applyClientCertificate(f: FilterOf<"clientCertificate">, r: FilteredRequest): FilterOutcome | undefined {
  const shown = r.clientCertificate;
  if (!isGoodEnough(f, shown)) return refusal(f, 400);
  if (f.commonName !== undefined && !fitsName(f.commonName, shown)) return refusal(f, 403);
  return { requestHeaders: toldHeaders(f, shown) };
}

function isGoodEnough({ verify }: FilterOf<"clientCertificate">, shown: ShownCertificate | undefined): boolean {
  switch (verify) {
    case "on":
      return shown !== undefined && shown.fault === undefined;
    case "optional":
      return shown === undefined || shown.fault === undefined;
    case "optional_no_ca":
      return shown === undefined || shown.fault === undefined || shown.unknownAuthority;
  }
}

function refusal(f: FilterOf<"clientCertificate">, status: number): FilterOutcome {
  if (f.errorPage !== undefined) return redirect("clientCertificate", 302, f.errorPage);
  return { reply: { status, headers: [], by: "clientCertificate" } };
}

/** The pattern must be found in one of the parts of the subject. */
function fitsName(pattern: string, shown: ShownCertificate | undefined): boolean {
  const name = /(?:^|,)(CN=(?:[^,\\]|\\.)*)/.exec(shown?.subject ?? "")?.[1];
  return name !== undefined && patternOf(pattern, false).test(name);
}

/** Always all of them: what the client itself sent under these names must not go on. */
function toldHeaders(f: FilterOf<"clientCertificate">, shown: ShownCertificate | undefined): readonly HeaderField[] {
  return [
    { name: "ssl-client-verify", value: shown === undefined ? "NONE" : shown.fault === undefined ? "SUCCESS" : `FAILED:${shown.fault}` },
    { name: "ssl-client-subject-dn", value: shown?.subject ?? "" },
    { name: "ssl-client-issuer-dn", value: shown?.issuer ?? "" },
    { name: "ssl-client-cert", value: f.passOn && shown !== undefined ? encodeURIComponent(shown.pem) : "" },
  ];
}
