import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createClient } from "../../../src/client/client.ts";
import type { ExecPlugin } from "../../../src/client/cluster-access.ts";
import { createCredentials } from "../../../src/client/credentials.ts";
import { parseExecCredential } from "../../../src/client/exec-plugin.ts";
import { createHttpTransport } from "../../../src/client/transport.ts";
import { FakeClock } from "../../support/fake-clock.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fairway-credentials-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const server = "https://10.0.0.1";
const s = new AbortController().signal;
const v1 = "client.authentication.k8s.io/v1";

/** A plugin that counts its runs and prints a token with the count. */
function plugin(name: string, expires?: string): ExecPlugin {
  const script = join(folder, `${name}.sh`);
  const expiry = expires === undefined ? "" : `,\\"expirationTimestamp\\":\\"${expires}\\"`;
  writeFileSync(
    script,
    `#!/bin/sh\nn=$(cat ${folder}/${name}.count 2>/dev/null || echo 0); n=$((n+1)); echo $n > ${folder}/${name}.count\n` +
      `printf '%s' "$KUBERNETES_EXEC_INFO" > ${folder}/${name}.info\n` +
      `echo "{\\"apiVersion\\":\\"${v1}\\",\\"kind\\":\\"ExecCredential\\",\\"status\\":{\\"token\\":\\"$EXTRA$n\\"${expiry}}}"\n`,
  );
  chmodSync(script, 0o755);
  return { apiVersion: v1, command: script, args: [], env: { EXTRA: "t" }, provideClusterInfo: true };
}

test("files are read again when they change; while one is missing the old content serves", async () => {
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "one\n");
  const c = createCredentials({ server, tokenFile });
  const token = async () => (await c.current(s)).headers["authorization"];
  expect(await token()).toBe("Bearer one");
  expect(await c.refresh(s)).toBe(false);
  writeFileSync(tokenFile, "second");
  expect(await token()).toBe("Bearer second");
  rmSync(tokenFile);
  expect(await token()).toBe("Bearer second");
  await expect(createCredentials({ server, tokenFile }).current(s)).rejects.toThrow(`token ${tokenFile}: ENOENT`);
});

test("TLS material and passwords", async () => {
  const { headers, tls } = await createCredentials({ server, caPem: "A", certPem: "C", keyPem: "K", username: "u", password: "p" }).current(
    s,
  );
  expect(headers).toEqual({ authorization: `Basic ${Buffer.from("u:p").toString("base64")}` });
  expect(tls).toEqual({ ca: "A", cert: "C", key: "K", serverName: undefined, insecureSkipVerify: false });
});

test("somebody else's name goes with the credentials", async () => {
  const { headers } = await createCredentials({ server, token: "t", impersonate: { user: "ann", groups: ["a", "b"] } }).current(s);
  expect(headers).toEqual({ authorization: "Bearer t", "impersonate-user": "ann", "impersonate-group": ["a", "b"] });
});

test("an exec plugin runs once, again before its answer ends, and after a 401", async () => {
  const clock = new FakeClock(Date.parse("2030-01-01T00:00:00Z"));
  const exec = plugin("login", "2030-01-01T01:00:00Z");
  const c = createCredentials({ server, caPem: "A", exec }, { clock });
  const token = async () => (await c.current(s)).headers["authorization"];
  expect(await Promise.all([token(), token()])).toEqual(["Bearer t1", "Bearer t1"]);
  expect(JSON.parse(readFileSync(join(folder, "login.info"), "utf8"))).toMatchObject({
    kind: "ExecCredential",
    spec: { cluster: { server, "certificate-authority-data": "QQ==" } },
  });
  await clock.advance(3595_000);
  expect(await token()).toBe("Bearer t2");
  expect(await c.refresh(s)).toBe(true);
  // The answer has ended by this clock, so every request runs it.
  expect(await token()).toBe("Bearer t4");
});

test("a plugin that is not there is told with its hint", async () => {
  const exec = { ...plugin("x"), command: join(folder, "none"), installHint: "get it at the counter" };
  await expect(createCredentials({ server, exec }).current(s)).rejects.toThrow(/exec plugin .*none: (.|\n)*get it at the counter$/);
  const old = { ...plugin("x"), apiVersion: "client.authentication.k8s.io/v1alpha1" };
  await expect(createCredentials({ server, exec: old }).current(s)).rejects.toThrow(/is not one of/);
});

test.each([
  ["nothing", "", /did not print JSON/],
  ["another kind", "{}", /did not print an ExecCredential/],
  ["another version", `{"kind":"ExecCredential","apiVersion":"x"}`, /it answered x, asked was/],
  ["no credentials", `{"kind":"ExecCredential","apiVersion":"${v1}","status":{}}`, /neither a token nor a client certificate/],
  ["half a certificate", `{"kind":"ExecCredential","apiVersion":"${v1}","status":{"clientKeyData":"K"}}`, /go together/],
  ["a bad time", `{"kind":"ExecCredential","apiVersion":"${v1}","status":{"token":"t","expirationTimestamp":"soon"}}`, /soon is no time/],
] as const)("a plugin that prints %s is refused", (_, text, want) => {
  const exec: ExecPlugin = { apiVersion: v1, command: "login", args: [], env: {}, provideClusterInfo: false };
  expect(() => parseExecCredential(text, exec)).toThrow(want);
});

test("a request that is refused with 401 is sent once more with new credentials", async () => {
  const seen: (string | undefined)[] = [];
  const http = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.statusCode = request.headers.authorization === "Bearer t2" ? 200 : 401;
    response.end("{}");
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const transport = createHttpTransport({ server: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, exec: plugin("again") });
  try {
    expect(await createClient(transport).json({ method: "GET", path: "/version" })).toEqual({});
    expect(seen).toEqual(["Bearer t1", "Bearer t2"]);
  } finally {
    transport.close();
    await new Promise((resolve) => http.close(resolve));
  }
  await expect(createClient(transport).json({ method: "GET", path: "/version" })).rejects.toMatchObject({
    name: "ClientError",
    code: "connection",
  });
});
