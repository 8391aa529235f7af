import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadObjects, parseObjects, snapshotOf } from "../../../src/cli/objects.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-objects-"));
  mkdirSync(join(dir, "sub"));
  mkdirSync(join(dir, ".hidden"));
  writeFileSync(join(dir, "b.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n");
  writeFileSync(join(dir, "a.json"), '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}');
  writeFileSync(join(dir, "sub", "c.yml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: c}\n");
  writeFileSync(join(dir, ".hidden", "d.yml"), "no object");
  writeFileSync(join(dir, "notes.txt"), "no object");
});
afterAll(() => rmSync(dir, { recursive: true }));

const service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n";

test("a folder gives its files by name, with those of folders below, and nothing else", () => {
  expect(loadObjects([dir]).map((o) => o.name)).toEqual(["a", "b", "c"]);
  expect(() => loadObjects([join(dir, ".hidden", "..", "none")])).toThrow(/none: no such file or folder/);
  expect(() => loadObjects([join(dir, "notes.txt")])).toThrow(/notes.txt: document 1: not an object/);
});

test("several documents and Lists are taken apart; kinds no dataplane reads are left out of the snapshot", () => {
  const text = `${service}---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}\n---\napiVersion: v1\nkind: PodList\nitems:\n- {metadata: {name: p}}\n`;
  const objects = parseObjects("f.yaml", text);
  expect(objects.map((o) => `${o.kind} ${o.namespace}/${o.name}`)).toEqual(["Service shop/web", "Deployment default/d", "Pod default/p"]);
  const snapshot = snapshotOf(objects);
  expect([...snapshot.tables.Service.keys()]).toEqual(["shop/web"]);
  expect([...snapshot.tables.Pod.keys()]).toEqual(["default/p"]);
});

test("slices are indexed by Service, the last of two equal names counts, and stringData is what the API would keep", () => {
  const slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nendpoints: []\nports: []\n";
  const text = `${slice}metadata: {name: w1, namespace: shop, labels: {kubernetes.io/service-name: web}}
---
${service}spec: {clusterIP: 10.0.0.1}
---
${service}spec: {clusterIP: 10.0.0.2}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
data: {a: YQ==}
stringData: {b: b}
`;
  const snapshot = snapshotOf(parseObjects("f.yaml", text));
  expect([...(snapshot.slicesByService.get("shop/web")?.keys() ?? [])]).toEqual(["shop/w1"]);
  expect(snapshot.tables.Service.get("shop/web")?.spec?.clusterIP).toBe("10.0.0.2");
  expect(snapshot.tables.Secret.get("shop/s")?.data).toEqual({ a: "YQ==", b: "Yg==" });
});

test("octal modes are numbers as YAML 1.1 has them, words stay text", () => {
  const [pod] = parseObjects(
    "f.yaml",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {on: yes}}\nspec: {containers: [], volumes: [{name: v, secret: {defaultMode: 0400}}]}\n",
  );
  expect(pod?.value).toMatchObject({ metadata: { labels: { on: "yes" } }, spec: { volumes: [{ secret: { defaultMode: 256 } }] } });
});

test("fields that the API does not know are named", () => {
  expect(parseObjects("f.yaml", `${service}spec: {clusterIp: 10.0.0.1, ports: [{port: 80, colour: red}]}\n`)[0]?.unknownFields).toEqual([
    "spec.clusterIp",
    "spec.ports[0].colour",
  ]);
});

test.each([
  ["not YAML", "a: [", /^f\.yaml: line \d+ \(document 1\): /],
  ["a broken second document", `${service}---\na: b: c\n`, /^f\.yaml: line 5 \(document 2\): /],
  ["JSON nested deeply", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, /^f\.yaml: document 1, .*nested too deeply$/],
  ["YAML nested deeply", `a: ${"[".repeat(50_000)}`, /^f\.yaml: line 1 \(document 1\): nested too deeply$/],
  ["no object", "- 1\n", /^f\.yaml: document 1, item 1: not an object/],
  ["no kind", "apiVersion: v1\n", /^f\.yaml: document 1: kind: missing/],
  ["a kind that is no text", "apiVersion: v1\nkind: 5\n", /^f\.yaml: document 1: kind: must be text/],
  ["no metadata", "apiVersion: v1\nkind: Service\n", /^f\.yaml: document 1 \(Service\): metadata: missing/],
  ["no name", "apiVersion: v1\nkind: Service\nmetadata: {}\n", /^f\.yaml: document 1 \(Service\): metadata\.name: missing/],
  [
    "a number where text belongs",
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10}\n",
    /^f\.yaml: document 1 \(Service shop\/web\): spec\.clusterIP: must be text, not number$/,
  ],
  [
    "text where a number belongs, in a List",
    `apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: http}]}}]`,
    /^f\.yaml: document 1, items\[0\] \(Service default\/web\): spec\.ports\.port: must be a whole number, not text$/,
  ],
  [
    "an old API version",
    "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: i}\n",
    /^f\.yaml: document 1 \(Ingress i\): apiVersion: extensions\/v1beta1 has no Ingress that is read here; use networking\.k8s\.io\/v1$/,
  ],
  [
    "an alias bomb",
    `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdef"
      .split("")
      .map((c, i) => `${c}: &${c} [${`*${"abcde"[i]},`.repeat(9)}]`)
      .join("\n")}\n`,
    /^f\.yaml: line 1 \(document 1\): /,
  ],
])("%s is refused with its place", (_, text, message) => {
  expect(() => parseObjects("f.yaml", text)).toThrow(expect.objectContaining({ code: "Input", message: expect.stringMatching(message) }));
});

test("whatever the text, objects come out or an input error in one line", () => {
  const word = fc.constantFrom(
    "apiVersion: v1\n",
    "kind: Service\n",
    "kind: List\n",
    "metadata:\n",
    "  name: a\n",
    "items:\n",
    "- ",
    "---\n",
    "spec: {",
    "}",
    "[",
    "]",
    ": ",
    "*a",
    "&a ",
    "<<: ",
    "\t",
    '"',
    "'",
    "!!binary ",
    "|\n",
    "0x1",
    "null",
    "{}",
    "\u0000",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string({ maxLength: 6 })), { maxLength: 20 }), (parts) => {
      try {
        snapshotOf(parseObjects("f.yaml", parts.join("")));
      } catch (e) {
        expect(e).toMatchObject({ code: "Input", message: expect.stringMatching(/^f\.yaml: [^\n]+/) });
      }
    }),
    { numRuns: 300 },
  );
});
