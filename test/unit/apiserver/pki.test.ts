import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { StartError } from "../../../src/apiserver/errors.ts";
import { ensurePki, printKubeconfig } from "../../../src/apiserver/pki.ts";
import { systemClock } from "../../../src/base/clock.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-pki-"));
afterAll(() => rmSync(folder, { recursive: true }));
const names = { dnsNames: ["kubernetes.default.svc"], ips: ["127.0.0.1", "fd00::1"] };

test("a certificate authority, and what it signs, is made once and kept", async () => {
  const dir = join(folder, "kept");
  const first = await ensurePki(dir, names);
  const ca = new X509Certificate(first.caPem);
  const serving = new X509Certificate(first.serving.certPem);
  expect([ca.ca, serving.ca]).toEqual([true, false]);
  expect(serving.verify(ca.publicKey)).toBe(true);
  expect([serving.checkHost("kubernetes.default.svc"), serving.checkIP("127.0.0.1"), serving.checkIP("fd00::1")]).toEqual([
    "kubernetes.default.svc",
    "127.0.0.1",
    "fd00::1",
  ]);
  expect(serving.checkIP("10.0.0.1")).toBeUndefined();
  for (const file of ["ca.key", "apiserver.key", "sa.key", "ca.crt"]) expect(statSync(join(dir, "pki", file)).mode & 0o777).toBe(0o600);
  expect(statSync(join(dir, "pki")).mode & 0o777).toBe(0o700);
  const second = await ensurePki(dir, names);
  expect([second.caPem, second.serving.certPem]).toEqual([first.caPem, first.serving.certPem]);
  expect(second.serviceAccountKey.privateKey.export({ type: "pkcs8", format: "pem" })).toEqual(
    first.serviceAccountKey.privateKey.export({ type: "pkcs8", format: "pem" }),
  );
});

test("the serving certificate is made anew for another name, or before it expires; the authority stays", async () => {
  const dir = join(folder, "renewed");
  const first = await ensurePki(dir, names);
  const more = await ensurePki(dir, { ...names, ips: ["127.0.0.1", "10.96.0.1"] });
  expect(more.serving.certPem).not.toBe(first.serving.certPem);
  expect(more.caPem).toBe(first.caPem);
  const later = await ensurePki(dir, { ...names, clock: { ...systemClock, now: () => Date.now() + 340 * 86_400_000 } });
  expect(later.serving.certPem).not.toBe(first.serving.certPem);
  expect(later.caPem).toBe(first.caPem);
});

test("a client certificate carries the user and its groups", async () => {
  const pki = await ensurePki(join(folder, "client"), names);
  const pair = await pki.issueClientCert("system:node:node-1", ["system:nodes", "a,b=c"]);
  const cert = new X509Certificate(pair.certPem);
  expect(cert.subject.split("\n")).toEqual(["CN=system:node:node-1", "O=system:nodes", "O=a\\,b=c"]);
  expect(cert.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  expect(cert.checkPrivateKey(createPrivateKey(pair.keyPem))).toBe(true);
});

test("a damaged file is named", async () => {
  const dir = join(folder, "damaged");
  await ensurePki(dir, names);
  writeFileSync(join(dir, "pki", "ca.crt"), "nonsense");
  const failed = await ensurePki(dir, names).catch((e: unknown) => e);
  expect(failed).toBeInstanceOf(StartError);
  expect(String(failed)).toContain(join(dir, "pki"));
  writeFileSync(join(folder, "file"), "");
  await expect(ensurePki(join(folder, "file"), names)).rejects.toThrow("data directory cannot be used");
});

test("a kubeconfig is YAML that holds all it needs", async () => {
  const dir = join(folder, "config");
  const pki = await ensurePki(dir, names);
  const admin = await pki.issueClientCert("admin", ["system:masters"]);
  const text = printKubeconfig({ server: "https://127.0.0.1:6443", caPem: pki.caPem, ...admin, contextName: "fair way" });
  const config = parse(text);
  expect(config["current-context"]).toBe("fair way");
  expect(config.clusters[0].cluster.server).toBe("https://127.0.0.1:6443");
  expect(Buffer.from(config.clusters[0].cluster["certificate-authority-data"], "base64").toString()).toBe(
    readFileSync(join(dir, "pki", "ca.crt"), "utf8"),
  );
});
