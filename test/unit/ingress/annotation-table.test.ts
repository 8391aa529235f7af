import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { AnnotationRow } from "../../../ingress/translate/annotation-row.ts";
import { type AnnotationName, annotationPrefix, annotationRow, annotationRows } from "../../../ingress/translate/annotation-table.ts";
import { isBad } from "../../../ingress/translate/annotation-values.ts";
import { parseAnnotations } from "../../../ingress/translate/annotations.ts";
import { configRow, configRows, sharedNames } from "../../../ingress/translate/config-table.ts";

/** What ingress-nginx 1.15 reads. */
const known =
  "affinity affinity-canary-behavior affinity-mode allowlist-source-range app-root auth-always-set-cookie auth-cache-duration auth-cache-key auth-keepalive auth-keepalive-requests auth-keepalive-share-vars auth-keepalive-timeout auth-method auth-proxy-set-headers auth-realm auth-request-redirect auth-response-headers auth-secret auth-secret-type auth-signin auth-signin-redirect-param auth-snippet auth-tls-error-page auth-tls-match-cn auth-tls-pass-certificate-to-upstream auth-tls-secret auth-tls-verify-client auth-tls-verify-depth auth-type auth-url backend-protocol canary canary-by-cookie canary-by-header canary-by-header-pattern canary-by-header-value canary-weight canary-weight-total client-body-buffer-size configuration-snippet connection-proxy-header cors-allow-credentials cors-allow-headers cors-allow-methods cors-allow-origin cors-expose-headers cors-max-age custom-headers custom-http-errors default-backend denylist-source-range disable-proxy-intercept-errors enable-access-log enable-cors enable-global-auth enable-modsecurity enable-opentelemetry enable-owasp-core-rules enable-rewrite-log fastcgi-index fastcgi-params-configmap force-ssl-redirect from-to-www-redirect http2-push-preload limit-allowlist limit-burst-multiplier limit-connections limit-rate limit-rate-after limit-rpm limit-rps limit-whitelist load-balance mirror-host mirror-request-body mirror-target modsecurity-snippet modsecurity-transaction-id opentelemetry-operation-name opentelemetry-trust-incoming-span permanent-redirect permanent-redirect-code preserve-trailing-slash proxy-body-size proxy-buffer-size proxy-buffering proxy-buffers-number proxy-busy-buffers-size proxy-connect-timeout proxy-cookie-domain proxy-cookie-path proxy-http-version proxy-max-temp-file-size proxy-next-upstream proxy-next-upstream-timeout proxy-next-upstream-tries proxy-read-timeout proxy-redirect-from proxy-redirect-to proxy-request-buffering proxy-send-timeout proxy-ssl-ciphers proxy-ssl-name proxy-ssl-protocols proxy-ssl-secret proxy-ssl-server-name proxy-ssl-verify proxy-ssl-verify-depth relative-redirects rewrite-target satisfy server-alias server-snippet service-upstream session-cookie-change-on-failure session-cookie-conditional-samesite-none session-cookie-domain session-cookie-expires session-cookie-max-age session-cookie-name session-cookie-path session-cookie-samesite session-cookie-secure ssl-ciphers ssl-passthrough ssl-prefer-server-ciphers ssl-redirect stream-snippet temporal-redirect temporal-redirect-code upstream-hash-by upstream-hash-by-subset upstream-hash-by-subset-size upstream-vhost use-port-in-redirects use-regex whitelist-source-range x-forwarded-prefix".split(
    " ",
  );

const rows = Object.entries(annotationRows) as readonly (readonly [AnnotationName, AnnotationRow])[];

test("every annotation of ingress-nginx has its row", () => {
  expect(known.filter((name) => annotationRow(name) === undefined)).toEqual([]);
  expect(known.length).toBe(138);
});

test("what holds by default is a value of its row", () => {
  const wrong = [...rows, ...Object.entries(configRows)].filter(([, { parse, initial }]) => {
    const value = initial === "" ? undefined : parse(initial);
    return typeof value === "object" && value !== null && isBad(value);
  });
  expect(wrong.map(([name]) => name)).toEqual([]);
});

test("what differs, is inert or refused says so", () => {
  const silent = [...rows, ...Object.entries(configRows)].filter(([, { state, note }]) => state !== "kept" && note === "");
  expect(silent.map(([name]) => name)).toEqual([]);
});

const worth = "~~ nothing that any row takes ~~";

function complaints(name: string, text: string): { readonly told: readonly string[]; readonly shut: boolean } {
  const told: string[] = [];
  const whole = name.startsWith("fairway.dev/") ? name : `${annotationPrefix}${name}`;
  const { refusal } = parseAnnotations(
    { [`${annotationPrefix}canary`]: "true", [whole]: text },
    (about, reason) => void told.push(`${reason} ${about}`),
  );
  return { told: told.filter((t) => t.endsWith(` ${name}`)), shut: refusal !== undefined };
}

test.for(rows.filter(([, { parse }]) => isBad(parse(worth) as object)))(
  "%s: a wrong value is told, and shuts the paths where it guards them",
  ([name, row]) => {
    const { told, shut } = complaints(name, worth);
    expect(told).toEqual([`${row.state === "refused" ? "UnsupportedAnnotation" : "InvalidAnnotation"} ${name}`]);
    expect(shut).toBe(row.guards);
  },
);

test.for(rows.filter(([, { state }]) => state === "refused"))("%s: is refused with what to use instead", ([name, row]) => {
  const { told, shut } = complaints(name, "true");
  expect(told).toEqual([`UnsupportedAnnotation ${name}`]);
  expect(shut).toBe(row.guards);
});

test("annotations that say nothing here are not complained of, and those that nobody knows are", () => {
  for (const [name, { state }] of rows) if (state === "inert") expect(complaints(name, "on").told).toEqual([]);
  expect(complaints("no-such-thing", "x").told).toEqual(["UnsupportedAnnotation no-such-thing"]);
});

test("keys of the ConfigMap that are defaults of annotations are read as these", () => {
  for (const name of sharedNames) expect(configRow(name)).toBe(annotationRow(name));
});

function line([name, row]: readonly [string, AnnotationRow]): string {
  const marks = [row.config ? "ConfigMap" : "", row.guards ? "guards" : ""].filter((m) => m !== "").join(", ");
  const cells = [`\`${name}\``, row.state, row.initial === "" ? "" : `\`${row.initial}\``, marks, row.note];
  return `| ${cells.map((c) => c.replaceAll("|", "\\|")).join(" | ")} |`;
}

const page = new URL("../../../docs/ingress-annotations.md", import.meta.url);

test("docs/ingress-annotations.md is the tables (UPDATE_GOLDEN=1 writes it anew)", () => {
  const text = readFileSync(page, "utf8");
  const head = text.slice(0, text.indexOf("## Annotations"));
  const tables = [
    "## Annotations\n",
    "| annotation | here | by default | | |",
    "|---|---|---|---|---|",
    ...rows.map(line),
    "\n## Keys of the ConfigMap\n",
    "| key | here | by default | | |",
    "|---|---|---|---|---|",
    ...Object.entries(configRows).map(line),
  ];
  const want = `${head}${tables.join("\n")}\n`;
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(page, want);
  expect(readFileSync(page, "utf8")).toBe(want);
});

test.for([
  ["300.1.1.1", "a list of addresses or ranges such as 10.0.0.0/8"],
  ["10.0.0.0/8, 300.1.1.1", 'a list of addresses or ranges such as 10.0.0.0/8: "300.1.1.1" is none'],
] as const)("what is wrong in a list is named where there is more: %s", ([text, expected]) => {
  expect(annotationRows["allowlist-source-range"].parse(text)).toEqual({ expected });
});
