import { expect, test } from "vitest";
import { desiredStatus } from "../../../ingress/index.ts";

test("status: the addresses, or nothing when they are there already", () => {
  const ingress = (...ips: readonly string[]) => ({
    metadata: { name: "web" },
    status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
  });
  expect(desiredStatus(ingress(), ["10.0.0.1", "fd00::1", "lb.test"])).toEqual({
    loadBalancer: { ingress: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }, { hostname: "lb.test" }] },
  });
  expect(desiredStatus(ingress("10.0.0.1"), ["10.0.0.1"])).toBeUndefined();
  expect(desiredStatus(ingress("10.0.0.1", "10.0.0.2"), ["10.0.0.1"])).toEqual({ loadBalancer: { ingress: [{ ip: "10.0.0.1" }] } });
  expect(desiredStatus({}, [])).toBeUndefined();
});
