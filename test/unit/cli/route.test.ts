import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register } from "../../../src/cli/commands/route.ts";
import { runCli } from "../../../src/cli/program.ts";

const shop = join(import.meta.dirname, "..", "..", "..", "examples", "shop");
const slice = (service: string, ip: string, port: number): object => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: `${service}-1`, namespace: "shop", labels: { "kubernetes.io/service-name": service } },
  addressType: "IPv4",
  ports: [{ name: "http", port }],
  endpoints: [{ addresses: [ip] }],
});
const running = {
  apiVersion: "v1",
  kind: "List",
  items: [
    { apiVersion: "networking.k8s.io/v1", kind: "IngressClass", metadata: { name: "fairway" }, spec: { controller: "fairway/ingress" } },
    slice("web", "10.244.0.5", 8080),
    slice("web-next", "10.244.0.6", 8080),
    slice("api", "10.244.1.5", 9090),
  ],
};

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-route-"));
  writeFileSync(join(dir, "running.json"), JSON.stringify(running));
});
afterAll(() => rmSync(dir, { recursive: true }));

async function route(...args: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const entries = [{ group: "Questions:", names: ["route"], load: async () => ({ register }) }];
  const all = ["route", "--objects", shop, join(dir, "running.json"), ...args];
  const status = await runCli(all, entries, { stdout: (t) => (out += t), stderr: (t) => (err += t) });
  return { status, out, err };
}

const share = (service: string, weight: number): object => expect.objectContaining({ service: `shop/${service}`, port: 80, weight });
test.each([
  [
    "the front, with the canary's share",
    ["https://shop.test/"],
    { outcome: "forward", listener: "https", object: "Ingress shop/shop", backends: [share("web", 80), share("web-next", 20)] },
  ],
  ["the canary by header", ["https://shop.test/", "-H", "X-Canary: always"], { backends: [share("web-next", 100)] }],
  ["never the canary", ["-H", "X-Canary: never", "https://shop.test/"], { backends: [share("web", 100)] }],
  ["an exact path", ["https://shop.test/version"], { backends: [share("api", 100)], rule: "shop.test/version" }],
  ["below an exact path", ["https://shop.test/version/1"], { rule: "shop.test/" }],
  [
    "http where there is TLS",
    ["http://shop.test/a?b=c"],
    { outcome: "redirect", status: 308, location: "https://shop.test/a?b=c", listener: "http" },
  ],
  [
    "a rewrite with capture groups",
    ["https://api.shop.test/v1/items/7?q=1"],
    { outcome: "forward", object: "Ingress shop/shop-rewrite", request: expect.objectContaining({ path: "/items/7?q=1" }) },
  ],
  ["basic auth, closed", ["https://shop.test/admin"], { outcome: "respond", status: 401, filters: expect.arrayContaining(["auth"]) }],
  ["basic auth, wrong", ["https://shop.test/admin", "-u", "admin:wrong"], { outcome: "respond", status: 401 }],
  ["basic auth, open", ["https://shop.test/admin", "-u", "admin:fairway"], { outcome: "forward", backends: [share("api", 100)] }],
  ["a rate limit is named", ["https://shop.test/limited"], { outcome: "forward", filters: expect.arrayContaining(["rateLimit"]) }],
  ["a redirect", ["https://shop.test/old"], { outcome: "redirect", status: 308, location: "https://shop.test/new" }],
  ["no host", ["https://other.test/"], { outcome: "none", status: 404, backends: [] }],
  [
    "the client's address",
    ["https://shop.test/", "--from", "198.51.100.7"],
    { request: expect.objectContaining({ setHeaders: expect.objectContaining({ "X-Real-IP": "198.51.100.7" }) }) },
  ],
])("the shop: %s", async (_, args, want) => {
  const { status, out } = await route(...args, "-o", "json");
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject(want);
});

test("for people: what happens, the shares, and why not the others", async () => {
  const { out, err } = await route("https://shop.test/");
  expect(out).toContain("GET https://shop.test/\nforwarded as / by Ingress shop/shop, rule shop.test/\n");
  expect(out).toMatch(/SERVICE +PORT +SHARE +ENDPOINTS\nshop\/web +80 +80 % +10\.244\.0\.5:8080\n/);
  expect(out).toMatch(/not shop\.test\/version: /);
  // No certificate among these objects: told, a few times at most, and the answer stands.
  expect(err).toContain("Secret shop/shop-tls");
  expect(err.split("\n").length).toBeLessThanOrEqual(10);
  expect((await route("https://shop.test/", "-o", "name")).out).toBe("shop/web\nshop/web-next\n");
  expect((await route("http://api.shop.test/v1/x")).out).toContain("redirected (308) to https://api.shop.test/v1/x");
});

test("--fail: no route is 1, a refusal is an answer", async () => {
  expect((await route("https://other.test/", "--fail")).status).toBe(1);
  expect((await route("https://shop.test/admin", "--fail")).status).toBe(0);
});

test.each([
  [["shop.test/"], /route shop\.test\/: give a URL with its scheme/],
  [["https://a/", "https://b/"], /give one URL/],
  [["https://a/", "-H", "nonsense"], /-H "nonsense": write it as 'Name: value'/],
  [["https://a/", "-X", "GE T"], /-X GE T: not a method/],
  [["https://a/", "-u", "admin"], /-u: write it as USER:PASSWORD/],
  [["https://a/", "--from", "me"], /--from me: not an IP address/],
])("%s is wrong usage", async (args, message) => {
  const { status, out, err } = await route(...args);
  expect({ status, out }).toEqual({ status: 2, out: "" });
  expect(err).toMatch(message);
});
