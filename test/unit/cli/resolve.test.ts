import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register } from "../../../src/cli/commands/resolve.ts";
import { runCli } from "../../../src/cli/program.ts";

const objects = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, status: {podIP: 10.244.0.7}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9, "fd96::9"], ports: [{name: http, port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: out, namespace: shop}, spec: {type: ExternalName, externalName: example.test}}
`;

const corefile = `.:53 {
  rewrite name suffix .corp .shop.svc.cluster.local answer auto
  hosts {
    10.1.1.1 git.example.org
    fallthrough
  }
  kubernetes cluster.local {
    ttl 30
  }
  forward . /etc/resolv.conf
}
`;

let file: string;
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-resolve-"));
  file = join(dir, "o.yaml");
  writeFileSync(file, objects);
  writeFileSync(join(dir, "Corefile"), corefile);
  writeFileSync(join(dir, "bad"), ".:53 {\n cash\n}\n");
});
afterAll(() => rmSync(dir, { recursive: true }));

async function run(line: string): Promise<{ status: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const args = ["resolve", ...line.split(" ").map((w) => w.replace("FILE", file).replace("DIR", dir))];
  const entries = [{ group: "Questions:", names: ["resolve"], load: async () => ({ register }) }];
  const status = await runCli(args, entries, { stdout: (t) => (out += t), stderr: (t) => (err += t) });
  return { status, out, err };
}

test("the answer for programs is the contract's document and nothing else", async () => {
  const { status, out, err } = await run("--objects FILE web.shop.svc.cluster.local -o json");
  expect({ status, err, lines: out.split("\n").length }).toEqual({ status: 0, err: "", lines: 2 });
  expect(JSON.parse(out)).toEqual({
    rcode: "NOERROR",
    authoritative: true,
    answers: [{ name: "web.shop.svc.cluster.local.", type: "A", ttl: 5, data: "10.96.0.9" }],
    authority: [],
    additional: [],
    handlers: ["kubernetes"],
  });
});

test.each([
  ["--objects FILE web.shop.svc.cluster.local AAAA", ["fd96::9"]],
  ["web.shop.svc.cluster.local aaaa --objects FILE", ["fd96::9"]],
  ["--objects FILE web --search --from shop/a", ["10.96.0.9"]],
  ["--objects FILE web.shop --search", ["10.96.0.9"]],
  ["--objects FILE web --search --from 10.244.0.7", ["10.96.0.9"]],
  ["--objects FILE web --search", []],
  ["--objects FILE web.shop", []],
  ["--objects FILE 10.96.0.9", ["web.shop.svc.cluster.local."]],
  ["--objects FILE fd96::9", ["web.shop.svc.cluster.local."]],
  ["--objects FILE _http._tcp.web.shop.svc.cluster.local SRV", ["0 50 80 web.shop.svc.cluster.local."]],
  ["--objects FILE out.shop.svc.cluster.local CNAME", ["example.test."]],
  ["--objects FILE web.shop.svc.example.org --cluster-domain example.org", ["10.96.0.9"]],
])("%s", async (line, want) => {
  expect(JSON.parse((await run(`${line} -o json`)).out).answers.map((a: { data: string }) => a.data)).toEqual(want);
});

test("for people: zone-file lines and the verdict", async () => {
  expect((await run("--objects FILE web.shop.svc.cluster.local")).out).toBe(
    "web.shop.svc.cluster.local.     5  A      10.96.0.9\n;; NOERROR, authoritative by kubernetes\n",
  );
  expect((await run("--objects FILE out.shop.svc.cluster.local AAAA -o name")).out).toBe("example.test.\n");
  expect((await run("--objects FILE example.org")).out).toMatch(/^;; REFUSED here/);
  expect((await run("--objects FILE web.shop.svc.cluster.local TXT -o wide")).out).toMatch(
    /;; authority\ncluster\.local\. .*SOA.*\n;; NOERROR \(the name exists/,
  );
});

test("--fail: NXDOMAIN is 1, after the answer; an empty answer for a name that exists is none", async () => {
  const { status, out, err } = await run("--objects FILE nope.shop.svc.cluster.local -o json --fail");
  expect({ status, rcode: JSON.parse(out).rcode, err }).toEqual({
    status: 1,
    rcode: "NXDOMAIN",
    err: "fairway: nope.shop.svc.cluster.local is answered NXDOMAIN\n",
  });
  expect((await run("--objects FILE nope.shop.svc.cluster.local -o json")).status).toBe(0);
  expect((await run("--objects FILE web.shop.svc.cluster.local TXT --fail")).status).toBe(0);
});

test.each([
  ["--objects FILE", /missing required argument 'name'/],
  ["--objects FILE a b c", /resolve a b c: give one name and one type/],
  ["--objects FILE a..b", /resolve a\.\.b: not a domain name/],
  [`--objects FILE ${"a".repeat(64)}.test`, /not a domain name/],
  ["--objects FILE a WHAT", /resolve a WHAT: WHAT is not a record type; try A, AAAA/],
  ["--objects FILE a --from x", /--from x: give NAMESPACE\/POD or an IP address/],
])("%s is wrong usage, in one line", async (line, message) => {
  const { status, out, err } = await run(line);
  expect({ status, out }).toEqual({ status: 2, out: "" });
  expect(err).toMatch(message);
  expect(err.trimEnd()).not.toContain("\n");
});

test.each([
  ["web.corp", "NOERROR", ["web.corp. 30 A 10.96.0.9"], ["rewrite", "kubernetes"]],
  ["git.example.org", "NOERROR", ["git.example.org. 3600 A 10.1.1.1"], ["hosts"]],
  ["www.example.org", "REFUSED", [], []],
])("with a Corefile %s is answered as its server would", async (name, rcode, answers, handlers) => {
  const { status, out } = await run(`--objects FILE --corefile DIR/Corefile ${name} -o json`);
  const document = JSON.parse(out);
  const lines = document.answers.map(
    (a: { name: string; ttl: number; type: string; data: string }) => `${a.name} ${a.ttl} ${a.type} ${a.data}`,
  );
  expect([status, document.rcode, lines, document.handlers]).toEqual([0, rcode, answers, handlers]);
});

test("a Corefile that makes no sense is refused with file and line", async () => {
  const { status, err } = await run("--objects FILE --corefile DIR/bad web");
  expect([status, err.split("\n")[0]]).toEqual([2, expect.stringMatching(/--corefile .*\/bad:2: no plugin cash; there are acl/)]);
});
