import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { MigrationReport } from "../../../ingress/index.ts";
import { register } from "../../../src/cli/commands/migrate.ts";
import { runCli } from "../../../src/cli/program.ts";

const nginx = "nginx.ingress.kubernetes.io";
const ingress = (
  name: string,
  path: string,
  o: { annotations?: object; className?: string; service?: string; tls?: boolean } = {},
): object => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "Ingress",
  metadata: { name, namespace: "x", annotations: o.annotations ?? {} },
  spec: {
    ingressClassName: o.className ?? "nginx",
    ...(o.tls === true ? { tls: [{ hosts: [`${name}.test`] }] } : {}),
    rules: [
      {
        host: `${name}.test`,
        http: { paths: [{ path, pathType: "Prefix", backend: { service: { name: o.service ?? "web", port: { number: 80 } } } }] },
      },
    ],
  },
});

const objects = {
  apiVersion: "v1",
  kind: "List",
  items: [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "x" },
      spec: { clusterIP: "10.96.0.1", ports: [{ port: 80 }] },
    },
    ingress("same", "/"),
    ingress("slash", "/a/"),
    ingress("regex", "/v1(/|$)(.*)", { annotations: { [`${nginx}/rewrite-target`]: "/$2" } }),
    ingress("differs", "/", { annotations: { [`${nginx}/limit-rps`]: "5" }, tls: true }),
    ingress("partly", "/", { annotations: { [`${nginx}/configuration-snippet`]: "more_set_headers 'A: b';" } }),
    ingress("wrong", "/", { annotations: { [`${nginx}/proxy-body-size`]: "much" } }),
    ingress("nobody", "/", { service: "nobody" }),
    ingress("shut", "/", { annotations: { [`${nginx}/server-snippet`]: "location /admin { deny all; }" } }),
    ingress("other", "/", { className: "other" }),
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "ingress-nginx-controller", namespace: "ingress-nginx" },
      data: { "proxy-body-size": "0", "use-geoip": "true", "keep-alive": "long", nothing: "x" },
    },
  ],
};

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-migrate-"));
  writeFileSync(join(dir, "all.json"), JSON.stringify(objects));
});
afterAll(() => rmSync(dir, { recursive: true }));

interface Told {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

const migrate = (...args: readonly string[]): Promise<Told> => migrateObjects("all.json", ...args);

async function migrateObjects(file: string, ...args: readonly string[]): Promise<Told> {
  let out = "";
  let err = "";
  const entries = [{ group: "Questions:", names: ["migrate"], load: async () => ({ register }) }];
  const all = ["migrate", "ingress-nginx", "--objects", join(dir, file), ...args];
  const status = await runCli(all, entries, { stdout: (t) => (out += t), stderr: (t) => (err += t) });
  return { status, out, err };
}

test("each Ingress of ingress-nginx gets its verdict, its quirks and its problems", async () => {
  const { status, out } = await migrate("-o", "json");
  expect(status).toBe(0);
  const report = JSON.parse(out) as MigrationReport;
  const told = report.ingresses.map((i) => [
    i.ingress.slice(2),
    i.verdict,
    i.quirks.map((q) => q.quirk).join(" "),
    i.problems.map((p) => p.reason).join(" "),
  ]);
  expect(told).toEqual([
    ["differs", "differs", "limit-burst ssl-redirect", ""],
    ["nobody", "partly", "", "ServiceNotFound"],
    ["partly", "partly", "", ""],
    ["regex", "same", "regex-path unclaimed-paths", ""],
    ["same", "same", "", ""],
    ["shut", "shut", "", ""],
    ["slash", "same", "closing-slash unclaimed-paths", ""],
    ["wrong", "partly", "", ""],
  ]);
  expect(report.settings.map((s) => `${s.name} ${s.state}`)).toEqual([
    "proxy-body-size kept",
    "use-geoip refused",
    "keep-alive invalid",
    "nothing unknown",
  ]);
  expect(report.summary).toEqual({ same: 3, differs: 1, partly: 3, shut: 1 });
  expect(report.otherClasses).toEqual({ other: 1 });
});

test("for people, and for pipelines", async () => {
  const { status, out, err } = await migrate("--fail");
  expect(status).toBe(1);
  expect(err).toContain("4 of 8 Ingresses are not served as before");
  expect(out).toContain("Not looked at: 1 of class other; --ingress-class and --controller-class name others\n");
  expect(out).toContain("x/shut      shut");
  expect(out).toContain("! server-snippet: location /admin { deny all; } (refused)");
  expect(out).toContain("~ slash.test/a/: /a is a 301 to /a/");
});

test("of another class, and what is no ConfigMap", async () => {
  const { out } = await migrate("--ingress-class", "other", "-o", "name");
  expect(out).toBe("x/other\n");
  const { status, err } = await migrate("--configmap", "here");
  expect([status, err]).toEqual([2, expect.stringContaining("NAMESPACE/NAME")]);
});

test.for<[name: string, given: object, want: string]>([
  ["no Services", ingress("web", "/", { service: "nobody" }), "same Service"],
  [
    "neither Services nor Secrets",
    ingress("web", "/", { annotations: { [`${nginx}/auth-type`]: "basic", [`${nginx}/auth-secret`]: "users" } }),
    "differs Service,Secret",
  ],
  ["a guard that shuts by itself", ingress("web", "/", { annotations: { [`${nginx}/whitelist-source-range`]: "here" } }), "shut Service"],
  ["another problem", ingress("web", "/", { annotations: { [`${nginx}/proxy-body-size`]: "much" } }), "partly Service"],
])("of kinds of which nothing was given is told once, and what can be judged is: %s", async ([, given, want]) => {
  writeFileSync(join(dir, "some.json"), JSON.stringify(given));
  const report = JSON.parse((await migrateObjects("some.json", "-o", "json")).out) as MigrationReport;
  expect(`${report.ingresses[0]?.verdict} ${report.notGiven.join()}`).toBe(want);
  expect(report.ingresses[0]?.problems.filter((p) => p.reason.endsWith("NotFound"))).toEqual([]);
  const { out } = await migrateObjects("some.json");
  expect(out.match(/^Not given: Services.*$/gm)).toHaveLength(1);
});
