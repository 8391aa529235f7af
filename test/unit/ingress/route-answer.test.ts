import { expect, test } from "vitest";
import { routeOffline } from "../../../ingress/index.ts";
import { makeIngress, makeRules, makeService, makeSnapshot } from "./cluster.ts";

const services =
  makeService("web", ["10.0.1.1:8080", "10.0.1.2:8080"]) +
  makeService("web-next", ["10.0.2.1:8080"]) +
  makeService("api", ["10.0.3.1:9090"]);
const n = (text: string): string => text.replaceAll("@", "nginx.ingress.kubernetes.io/");

const shop = makeSnapshot(
  services +
    makeIngress("web", { spec: `tls: [{hosts: [shop.example]}], ${makeRules("shop.example", ["/", "Prefix", "web"])}` }) +
    makeIngress("web-next", {
      annotations: n('@canary: "true", @canary-by-header: X-Next, @canary-weight: "10"'),
      spec: makeRules("shop.example", ["/", "Prefix", "web-next"]),
    }) +
    makeIngress("api", {
      annotations: n('@rewrite-target: /$2, @limit-rps: "5"'),
      spec: makeRules("api.example", ["/v1(/|$)(.*)", "ImplementationSpecific", "api"]),
    }),
);

test("forwards by weight, with endpoints and reasons", async () => {
  const answer = await routeOffline(shop, { url: "https://shop.example/cart?x=1" });
  expect(answer).toMatchObject({
    outcome: "forward",
    listener: "https",
    object: "Ingress shop/web",
    rule: "shop.example/",
    backends: [
      { service: "shop/web", port: 80, weight: 90, endpoints: ["10.0.1.1:8080", "10.0.1.2:8080"] },
      { service: "shop/web-next", port: 80, weight: 10, endpoints: ["10.0.2.1:8080"] },
    ],
    request: { path: "/cart?x=1" },
  });
  expect(answer.why.at(-1)).toContain("shop.example/ of Ingress shop/web matches");
});

test("a header chooses the canary", async () => {
  const answer = await routeOffline(shop, { url: "https://shop.example/", headers: [["x-next", "always"]] });
  expect(answer.backends).toEqual([{ service: "shop/web-next", port: 80, weight: 100, endpoints: ["10.0.2.1:8080"] }]);
});

test("plain http of a host with TLS is redirected", async () => {
  expect(await routeOffline(shop, { url: "http://shop.example/cart?x=1" })).toMatchObject({
    outcome: "redirect",
    status: 308,
    location: "https://shop.example/cart?x=1",
    listener: "http",
  });
});

test("rewrites with capture groups, names the filters", async () => {
  const answer = await routeOffline(shop, { url: "http://api.example/v1/items/7?all=1" });
  expect(answer).toMatchObject({ outcome: "forward", request: { path: "/items/7?all=1" }, object: "Ingress shop/api" });
  expect(answer.filters).toEqual(["rateLimit", "rewrite"]);
});

test("nobody's host and nobody's path are none", async () => {
  expect(await routeOffline(shop, { url: "http://other.example/" })).toMatchObject({ outcome: "none", status: 404, backends: [] });
  expect(await routeOffline(shop, { url: "http://api.example/v2" })).toMatchObject({ outcome: "none", status: 404 });
});
