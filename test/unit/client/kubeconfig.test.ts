import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inClusterAccess, loadKubeconfig } from "../../../src/client/kubeconfig.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fairway-kubeconfig-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const config = (o: { cluster?: object; user?: object; context?: object; rest?: object } = {}): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    clusters: [{ name: "k", cluster: { server: "https://10.0.0.1:6443", ...o.cluster } }],
    users: [{ name: "u", user: o.user ?? {} }],
    contexts: [{ name: "c", context: { cluster: "k", user: "u", ...o.context } }],
    ...o.rest,
  });

test.each([
  ["a token", config({ user: { token: "t" } }), { token: "t" }],
  ["a number as token", config({ user: { token: 12345 } }), { token: "12345" }],
  ["a token file before a token", config({ user: { token: "t", tokenFile: "/x/token" } }), { tokenFile: "/x/token" }],
  [
    "inline certificates",
    config({
      cluster: { "certificate-authority-data": base64("CA") },
      user: { "client-certificate-data": base64("C"), "client-key-data": base64("K") },
    }),
    { caPem: "CA", certPem: "C", keyPem: "K" },
  ],
  [
    "inline before files",
    config({ cluster: { "certificate-authority": "/f", "certificate-authority-data": base64("CA") } }),
    { caPem: "CA" },
  ],
  ["name and password", config({ user: { username: "n", password: "p" } }), { username: "n", password: "p" }],
  [
    "server options",
    config({ cluster: { "insecure-skip-tls-verify": true, "tls-server-name": "api" } }),
    { insecureSkipVerify: true, tlsServerName: "api" },
  ],
  ["a namespace", config({ context: { namespace: "shop" } }), { namespace: "shop" }],
  ["somebody else", config({ user: { as: "ann", "as-groups": ["dev"] } }), { impersonate: { user: "ann", groups: ["dev"] } }],
  ["no user", config({ context: { user: "" } }), {}],
  [
    "an exec plugin",
    config({
      user: {
        exec: {
          apiVersion: "client.authentication.k8s.io/v1",
          command: "login",
          args: ["--now", 1],
          env: [{ name: "A", value: "b" }],
          provideClusterInfo: true,
        },
      },
    }),
    {
      exec: {
        apiVersion: "client.authentication.k8s.io/v1",
        command: "login",
        args: ["--now", "1"],
        env: { A: "b" },
        provideClusterInfo: true,
      },
    },
  ],
] as const)("%s", (_, text, want) => {
  expect(loadKubeconfig({ text })).toEqual({ server: "https://10.0.0.1:6443", context: "c", ...want });
});

test.each([
  ["not YAML", "a: [", /^kubeconfig kubeconfig: not YAML/],
  ["a list", "[]", /is not a mapping/],
  ["no current context", config({ rest: { "current-context": "" } }), /current-context is not set; contexts: c$/],
  [
    "a cluster that is missing",
    config({ context: { cluster: "x" } }),
    /^kubeconfig kubeconfig, context c: context.cluster x is not in clusters: k$/,
  ],
  ["a user that is missing", config({ context: { user: "x" } }), /context.user x is not in users: u$/],
  ["no server", config({ cluster: { server: "" } }), /context c: cluster.server is missing$/],
  ["a server that is no URL", config({ cluster: { server: "10.0.0.1" } }), /cluster.server 10.0.0.1 is not an https/],
  ["bad base64", config({ cluster: { "certificate-authority-data": "***" } }), /certificate-authority-data is not base64$/],
  ["a removed kind of credentials", config({ user: { "auth-provider": { name: "gcp" } } }), /user.auth-provider was removed/],
  ["an exec plugin without a command", config({ user: { exec: {} } }), /user.exec.command is missing$/],
  ["clusters that are no list", config({ rest: { clusters: {} } }), /clusters is not a list$/],
  ["an entry without a name", config({ rest: { users: [{ user: {} }] } }), /users\[0\].name is missing$/],
  ["groups without a user", config({ user: { "as-groups": ["dev"] } }), /user.as is missing, but as-groups is there$/],
  ["a token that is a mapping", config({ user: { token: {} } }), /context c: token is not text$/],
] as const)("%s is refused with file, context and field", (_, text, want) => {
  expect(() => loadKubeconfig({ text })).toThrow(want);
});

test("a context may be chosen, and one that is missing is told with those there are", () => {
  expect(loadKubeconfig({ text: config(), context: "c" }).context).toBe("c");
  expect(() => loadKubeconfig({ text: config(), context: "d" })).toThrow(/context d: contexts has no such entry; there are: c$/);
});

test("files of a KUBECONFIG list are merged, the first to say something wins, paths are relative to their file", () => {
  const [first, second] = [join(folder, "one", "config"), join(folder, "two", "config")];
  for (const file of [first, second]) mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(
    first,
    JSON.stringify({ "current-context": "c", users: [{ name: "u", user: { "client-certificate": "u.crt", "client-key": "/k" } }] }),
  );
  writeFileSync(
    second,
    config({ cluster: { "certificate-authority": "ca.crt" }, user: { token: "no" }, rest: { "current-context": "other" } }),
  );
  const env = { KUBECONFIG: `${join(folder, "missing")}:${first}:${second}` };
  expect(loadKubeconfig({ env })).toEqual({
    server: "https://10.0.0.1:6443",
    context: "c",
    caFile: join(folder, "two", "ca.crt"),
    certFile: join(folder, "one", "u.crt"),
    keyFile: "/k",
  });
  expect(() => loadKubeconfig({ env: { KUBECONFIG: join(folder, "missing") } })).toThrow(/not found; set KUBECONFIG/);
  expect(() => loadKubeconfig({ env: { HOME: folder } })).toThrow(/\.kube\/config not found/);
  expect(() => loadKubeconfig({ path: join(folder, "missing") })).toThrow(/kubeconfig .*missing: there is no such file$/);
});

test("whatever the text, there is an access or one error of the client's own", () => {
  const odd: unknown[] = [
    null,
    1,
    "x",
    [],
    {},
    { clusters: null },
    { contexts: [null] },
    { users: [1] },
    { "current-context": "c", contexts: [{ name: "c" }] },
  ];
  for (const value of odd) {
    let error: unknown;
    try {
      loadKubeconfig({ text: JSON.stringify(value) });
    } catch (e) {
      error = e;
    }
    expect(error).toMatchObject({ name: "ClientError", code: "kubeconfig" });
  }
});

test("in a pod: the service account's files; outside, what is missing", () => {
  writeFileSync(join(folder, "token"), "t");
  const access = inClusterAccess({ KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "8443" }, folder);
  expect(access).toEqual({ server: "https://[fd00::1]:8443", tokenFile: join(folder, "token"), caFile: join(folder, "ca.crt") });
  expect(() => inClusterAccess({}, folder)).toThrow(/KUBERNETES_SERVICE_HOST is not set/);
  expect(() => inClusterAccess({ KUBERNETES_SERVICE_HOST: "10.0.0.1" }, join(folder, "none"))).toThrow(/token is missing/);
});
