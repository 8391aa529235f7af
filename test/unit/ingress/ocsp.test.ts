import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { IngressServer } from "../../../ingress/index.ts";
import { ocspSubject, readOcspResponse } from "../../../ingress/proxy/ocsp.ts";
import { lackingCommands } from "../../support/requires.ts";
import { makeTable, startLab } from "./proxy-lab.ts";

const run = promisify(execFile);
const lack = lackingCommands("openssl");

describe.skipIf(lack !== undefined)(`OCSP, with openssl as responder${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  const dir = mkdtempSync(join(tmpdir(), "fairway-ocsp-"));
  const at = (name: string): string => join(dir, name);
  const read = (name: string): string => readFileSync(at(name), "utf8");
  const openssl = (...args: readonly string[]) => run("openssl", [...args], { cwd: dir });
  /** What the responder does: `good` and `revoked` are openssl's words. */
  let answers: "good" | "revoked" | "nothing" | "garbage" | "error" = "good";
  let asked = 0;
  const responding: Promise<void>[] = [];
  let responder: Server;
  let url = "";
  let ingress: IngressServer;
  let https: number;

  beforeAll(async () => {
    responder = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        asked++;
        const said = answers;
        if (said === "nothing") request.socket.destroy();
        else if (said === "garbage") response.end(Buffer.alloc(300, 0x30));
        else if (said === "error") response.writeHead(500).end();
        else responding.push(respond(Buffer.concat(parts), said).then((bytes) => void response.end(bytes)));
      });
    });
    await new Promise<void>((resolve) => responder.listen(0, "127.0.0.1", resolve));
    const address = responder.address();
    url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/ocsp`;
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    await openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/O=fairway/CN=authority", "-days", "2");
    for (const [name, serial, extension] of [
      ["leaf", "0x8123456789abcdef", `authorityInfoAccess=OCSP;URI:${url}\nsubjectAltName=DNS:a.test`],
      ["speaker", "2", "extendedKeyUsage=OCSPSigning"],
      ["nobody", "3", "extendedKeyUsage=clientAuth"],
    ] as const) {
      writeFileSync(at(`${name}.ext`), extension);
      await openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
      const sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", serial, "-days", "1", "-extfile", `${name}.ext`];
      await openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...sign);
    }
    writeFileSync(at("good.txt"), "V\t991231235959Z\t\t8123456789ABCDEF\tunknown\t/CN=leaf\n");
    writeFileSync(at("revoked.txt"), "R\t991231235959Z\t260101000000Z\t8123456789ABCDEF\tunknown\t/CN=leaf\n");
    const lab = await startLab([9], { config: { https: [{ ip: "127.0.0.1", port: 0 }] } });
    ({ ingress, https } = lab);
  });

  afterAll(async () => {
    await ingress?.close();
    await Promise.all(responding);
    responder?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  let n = 0;
  /** openssl's answer to a request, signed by the authority or by `signer`. */
  async function respond(request: Buffer, index: "good" | "revoked", signer = "ca"): Promise<Buffer> {
    const name = `r${n++}`;
    writeFileSync(at(`${name}.req`), request);
    const by = ["-index", `${index}.txt`, "-CA", "ca.pem", "-rsigner", `${signer}.pem`, "-rkey", `${signer}.key`, "-ndays", "1"];
    await openssl("ocsp", ...by, "-reqin", `${name}.req`, "-respout", `${name}.resp`);
    return readFileSync(at(`${name}.resp`));
  }

  /** A new certificate value, which nothing is known of. */
  function show(): void {
    const object = { kind: "Secret", namespace: "shop", name: "a" };
    const certificate = { host: "a.test", certificate: read("leaf.pem") + read("ca.pem"), key: read("leaf.key"), object };
    ingress.apply({ ...makeTable([9]), certificates: { upserts: [certificate], deletes: [] }, settings: { tls: { ocsp: true } } });
  }

  /** What is stapled to one handshake. */
  function stapled(requestOCSP = true): Promise<Buffer | undefined> {
    return new Promise((resolve, reject) => {
      const socket = tlsConnect({ port: https, host: "127.0.0.1", servername: "a.test", rejectUnauthorized: false, requestOCSP });
      let response: Buffer | undefined;
      socket.on("OCSPResponse", (bytes: Buffer | null) => (response = bytes ?? undefined));
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        socket.destroy();
        resolve(response);
      });
    });
  }

  const subject = () => {
    const known = ocspSubject(read("leaf.pem") + read("ca.pem"));
    if (known === undefined) throw new Error("the certificate names a responder");
    return known;
  };

  test("the responder's word is stapled, and openssl takes it; it is asked once", async () => {
    show();
    expect(await stapled()).toBeUndefined();
    let response = await stapled();
    while (response === undefined) response = await stapled();
    writeFileSync(at("stapled.resp"), response);
    const { stdout } = await openssl(
      "ocsp",
      "-respin",
      "stapled.resp",
      "-issuer",
      "ca.pem",
      "-cert",
      "leaf.pem",
      "-CAfile",
      "ca.pem",
      "-no_nonce",
    );
    expect(stdout).toMatch(/^leaf.pem: good$/m);
    expect(asked).toBe(1);
    expect(await stapled(false)).toBeUndefined();
  });

  test.for<["good" | "revoked", string, boolean]>([
    ["good", "ca", true],
    ["good", "speaker", true],
    ["good", "nobody", false],
    ["revoked", "ca", false],
  ])("%s, said by %s: believed %s", async ([index, signer, believed]) => {
    const known = subject();
    const word = readOcspResponse(await respond(known.request, index, signer), known, Date.now());
    expect(word !== undefined).toBe(believed);
    if (word !== undefined) expect(word.nextUpdate - word.thisUpdate).toBe(86_400_000);
  });

  test("what is old, of another certificate, or damaged says nothing", async () => {
    const known = subject();
    const good = await respond(known.request, "good");
    const day = 86_400_000;
    expect([Date.now() + 2 * day, Date.now() - day].map((now) => readOcspResponse(good, known, now))).toEqual([undefined, undefined]);
    expect(readOcspResponse(good, { ...known, serial: Buffer.from([9]) }, Date.now())).toBeUndefined();
    // what came along with it is not signed; two tags and lengths stand before it
    const signed = good.indexOf(new X509Certificate(read("ca.pem")).raw) - 8;
    expect(signed).toBeGreaterThan(100);
    for (let i = 0; i < good.length; i++) {
      const damaged = Buffer.from(good);
      damaged[i] = (damaged[i] ?? 0) ^ 0x55;
      const word = readOcspResponse(damaged, known, Date.now());
      if (word !== undefined) expect(i).toBeGreaterThanOrEqual(signed);
      expect(readOcspResponse(good.subarray(0, i), known, Date.now())).toBeUndefined();
    }
  });

  test.for(["nothing", "garbage", "error", "revoked"] as const)("a responder that says %s: handshakes go on without it", async (said) => {
    answers = said;
    const before = asked;
    const fresh = await startLab([9], { config: { https: [{ ip: "127.0.0.1", port: 0 }] } });
    const old = { ingress, https };
    ({ ingress, https } = fresh);
    show();
    expect(await stapled()).toBeUndefined();
    while (asked === before) await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 3; i++) expect(await stapled()).toBeUndefined();
    // it is left alone for a while
    expect(asked).toBe(before + 1);
    await fresh.ingress.close();
    ({ ingress, https } = old);
  });

  test("a certificate without a responder, or without its issuer beside it, is nobody's to ask about", () => {
    expect(ocspSubject(read("speaker.pem") + read("ca.pem"))).toBeUndefined();
    expect(ocspSubject(read("leaf.pem"))).toBeUndefined();
    expect(ocspSubject(read("leaf.pem") + read("speaker.pem"))).toBeUndefined();
    expect(existsSync(at("leaf.pem"))).toBe(true);
  });
});
