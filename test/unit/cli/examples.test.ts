import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PasswordChecks } from "../../../ingress/filter/basic-auth.ts";
import type { Deployment, StatefulSet } from "../../../src/api/types/apps-v1.generated.ts";
import type { PodTemplateSpec, Service } from "../../../src/api/types/core-v1.generated.ts";
import type { Ingress } from "../../../src/api/types/networking-v1.generated.ts";
import { type LoadedObject, loadObjects, snapshotOf } from "../../../src/cli/objects.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const shop = loadObjects([join(root, "examples", "shop")]);
const deploy = loadObjects([join(root, "deploy")]);

function all<T>(objects: readonly LoadedObject[], kind: string): readonly T[] {
  return objects.filter((o) => o.kind === kind).map((o) => o.value as unknown as T);
}
const templates: readonly PodTemplateSpec[] = [...all<Deployment>(shop, "Deployment"), ...all<StatefulSet>(shop, "StatefulSet")].flatMap(
  (w) => w.spec?.template ?? [],
);
const services = all<Service>(shop, "Service");
const ingresses = all<Ingress>(shop, "Ingress");

function templatesOf(service: Service): readonly PodTemplateSpec[] {
  const selector = Object.entries(service.spec?.selector ?? {});
  return templates.filter((t) => selector.length > 0 && selector.every(([k, v]) => t.metadata?.labels?.[k] === v));
}

test("the examples and the deployment have no field that the API does not know", () => {
  expect([...shop, ...deploy].flatMap((o) => o.unknownFields.map((f) => `${o.source}: ${f}`))).toEqual([]);
});

test("the shop has everything in its own namespace, and every kind of Service", () => {
  expect(shop.filter((o) => o.kind !== "Namespace" && o.namespace !== "shop")).toEqual([]);
  const kinds = services.map((s) => (s.spec?.clusterIP === "None" ? "headless" : (s.spec?.type ?? "ClusterIP")));
  expect([...new Set(kinds)].sort()).toEqual(["ClusterIP", "ExternalName", "LoadBalancer", "NodePort", "headless"]);
  expect(services.some((s) => s.spec?.ports?.some((p) => p.protocol === "UDP"))).toBe(true);
  expect(services.find((s) => s.spec?.clusterIP === "None")?.spec?.publishNotReadyAddresses).toBe(true);
});

test("every Service finds Pods, and every named target port is one of theirs", () => {
  for (const service of services.filter((s) => s.spec?.type !== "ExternalName")) {
    const found = templatesOf(service);
    expect(found, service.metadata?.name ?? "").toHaveLength(1);
    for (const port of service.spec?.ports ?? []) {
      const names = (found[0]?.spec?.containers ?? [])
        .flatMap((c) => c.ports ?? [])
        .filter((p) => (p.protocol ?? "TCP") === (port.protocol ?? "TCP"));
      expect(names?.map((p) => p.name)).toContain(port.targetPort);
    }
  }
});

test("every Ingress backend is a Service's port, every host with TLS is in the certificate's hosts", () => {
  for (const ingress of ingresses) {
    for (const rule of ingress.spec?.rules ?? []) {
      expect(["shop.test", "api.shop.test"]).toContain(rule.host);
      for (const path of rule.http?.paths ?? []) {
        const service = services.find((s) => s.metadata?.name === path.backend.service?.name);
        const { name, number } = path.backend.service?.port ?? {};
        expect(
          service?.spec?.ports?.some((p) => p.name === name || p.port === number),
          `${ingress.metadata?.name} ${path.path}`,
        ).toBe(true);
      }
    }
  }
  expect(ingresses.flatMap((i) => (i.spec?.rules ?? []).flatMap((r) => (r.http?.paths ?? []).map((p) => p.pathType)))).toEqual(
    expect.arrayContaining(["Exact", "Prefix", "ImplementationSpecific"]),
  );
});

test("the back office opens with the password that the README tells", () => {
  const secret = snapshotOf(shop).tables.Secret.get("shop/shop-admin");
  const line = Buffer.from(secret?.data?.["auth"] ?? "", "base64")
    .toString()
    .trim();
  const [user = "", hash = ""] = line.split(":");
  expect(user).toBe("admin");
  expect(new PasswordChecks().verify("fairway", hash)).toBe(true);
  expect(readFileSync(join(root, "examples", "shop", "README.md"), "utf8")).toContain("-u admin:fairway");
});

test("probes name ports that there are, and all Pods end within the 20 s that a drain waits", () => {
  for (const t of templates) {
    expect(t.spec?.terminationGracePeriodSeconds).toBeLessThanOrEqual(20);
    for (const c of t.spec?.containers ?? []) {
      expect(c.readinessProbe, c.name).toBeDefined();
      expect(c.resources?.requests?.["cpu"]).toBeDefined();
      const names = (c.ports ?? []).map((p) => p.name);
      for (const probe of [c.readinessProbe, c.livenessProbe, c.startupProbe]) {
        const port = probe?.httpGet?.port ?? probe?.tcpSocket?.port;
        if (port !== undefined) expect(names).toContain(port);
      }
    }
  }
});
