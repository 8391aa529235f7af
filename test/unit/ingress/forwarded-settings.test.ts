import { afterEach, expect, test } from "vitest";
import type { ProxySettings } from "../../../ingress/index.ts";
import { get, makeForward, makeRoute, makeTable, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** What the endpoint sees of a request from 127.0.0.1 with these headers. */
async function seen(settings: ProxySettings, headers: string, connectionHeader?: string): Promise<string> {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const routes = [makeRoute({ action: makeForward(connectionHeader === undefined ? {} : { connectionHeader }) })];
  const { ingress, http } = await startLab([up.port], { routes });
  ingress.apply({ ...makeTable([up.port], routes), revision: 2, settings });
  const c = RawClient.connect(http);
  open.push(
    () => up.close(),
    () => ingress.close(),
    () => void c.socket.destroy(),
  );
  await c.send(get("/", headers)).until((t) => t.endsWith("ok"));
  return up.seen[0]?.head ?? "";
}

const everybody = ["0.0.0.0/0"];
const told = "X-Forwarded-For: 192.0.2.7\r\n";

test.for<[name: string, settings: ProxySettings, headers: string, want: readonly string[], not: readonly string[]]>([
  ["nobody is believed", {}, told, ["X-Forwarded-For: 127.0.0.1\r\n"], ["192.0.2.7"]],
  ["who is believed", { trustedProxies: everybody }, told, ["X-Forwarded-For: 192.0.2.7\r\n", "X-Real-IP: 192.0.2.7\r\n"], []],
  [
    "the whole way",
    { trustedProxies: everybody, wholeForwardedFor: true },
    told,
    ["X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\n", "X-Real-IP: 192.0.2.7\r\n"],
    [],
  ],
  ["the whole way of nobody", { wholeForwardedFor: true }, told, ["X-Forwarded-For: 127.0.0.1\r\n"], ["192.0.2.7"]],
  [
    "another header",
    { trustedProxies: everybody, forwardedForHeader: "cf-connecting-ip" },
    `CF-Connecting-IP: 192.0.2.8\r\n${told}`,
    ["X-Real-IP: 192.0.2.8\r\n"],
    ["192.0.2.7"],
  ],
  ["underscores are dropped", {}, "X_Thing: 1\r\n", [], ["X_Thing"]],
  [
    "or go on, but not as what this proxy says",
    { underscoresInHeaders: true },
    "X_Thing: 1\r\nX_Real_IP: 6.6.6.6\r\n",
    ["X_Thing: 1\r\n"],
    ["6.6.6.6"],
  ],
])("%s", async ([, settings, headers, want, not]) => {
  const head = await seen(settings, headers);
  for (const line of want) expect(head).toContain(line);
  for (const text of not) expect(head).not.toContain(text);
});

test("Connection as the route says", async () => {
  expect(await seen({}, "", "close")).toMatch(/^Connection: close$/m);
  expect(await seen({}, "")).not.toMatch(/^connection:/im);
});
