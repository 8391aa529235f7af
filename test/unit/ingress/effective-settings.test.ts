import { expect, test } from "vitest";
import type { RouteDelta } from "../../../ingress/index.ts";
import { type Changeable, effectiveSettings } from "../../../ingress/proxy/effective-settings.ts";
import { get, makeTable, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const started: Changeable = {
  timeouts: { head: 60_000, idle: 75_000, body: 60_000, linger: 5_000, grace: 1_000 },
  wire: { headBytes: 65_536, lineBytes: 16_384, headers: 128, heldBytes: 65_536, requestsPerConnection: 100_000 },
  trustedProxies: ["10.0.0.0/8"],
};
type Settings = NonNullable<RouteDelta["settings"]>;

test.for<[name: string, settings: Settings, want: { [K in keyof Changeable]?: Partial<Changeable[K]> }]>([
  ["nothing said: as it was started", {}, started],
  [
    "seconds are milliseconds",
    { headSeconds: 3, bodySeconds: 4, keepAliveSeconds: 5 },
    { timeouts: { head: 3_000, body: 4_000, idle: 5_000 } },
  ],
  ["a smaller head has smaller lines", { headBytes: 8_192 }, { wire: { headBytes: 8_192, lineBytes: 8_192 } }],
  ["a larger one not", { headBytes: 131_072 }, { wire: { headBytes: 131_072, lineBytes: 16_384 } }],
  ["requests of a connection", { keepAliveRequests: 7 }, { wire: { requestsPerConnection: 7 } }],
  ["no keep-alive by time", { keepAliveSeconds: 0 }, { wire: { requestsPerConnection: 1 } }],
  ["no keep-alive by count", { keepAliveRequests: 0 }, { wire: { requestsPerConnection: 1 } }],
  ["trusted proxies replace those of the start", { trustedProxies: ["192.0.2.0/24"] }, { trustedProxies: ["192.0.2.0/24"] }],
])("%s", ([, settings, want]) => {
  expect(effectiveSettings(started, settings)).toMatchObject(want);
});

test("a bound of held bytes that changes counts for what is held", async () => {
  const { ingress, http } = await startLab([]);
  const c = RawClient.connect(http).send(get("/", `X: ${"x".repeat(8_000)}\r\n`).slice(0, -4));
  const held = (): string | undefined => /^fairway_ingress_held_bytes (.*)$/m.exec(ingress.metrics())?.[1];
  while (held() === "0") await new Promise((resolve) => setImmediate(resolve));
  ingress.apply({ ...makeTable([]), revision: 2, settings: { heldBytes: 8_000_000 } });
  expect(held()).not.toBe("0");
  ingress.apply({ ...makeTable([]), revision: 3, settings: { heldBytes: 1_000 } });
  expect(held()).toBe("0");
  await c.untilEnd();
  await ingress.close();
});

test("settings that change, and that are taken back, count for the connections that are there", async () => {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const { ingress, http } = await startLab([up.port]);
  const c = RawClient.connect(http);
  const ask = (): Promise<string> => {
    c.text = "";
    return c.send(get()).until((t) => t.endsWith("ok"));
  };
  expect(await ask()).not.toContain("Connection: close");
  ingress.apply({ ...makeTable([up.port]), revision: 2, settings: { keepAliveRequests: 2 } });
  ingress.apply({ ...makeTable([up.port]), revision: 3, settings: {} });
  expect(await ask()).not.toContain("Connection: close");
  ingress.apply({ ...makeTable([up.port]), revision: 4, settings: { keepAliveRequests: 2 } });
  expect(await ask()).toContain("Connection: close");
  c.socket.destroy();
  await ingress.close();
  await up.close();
});
