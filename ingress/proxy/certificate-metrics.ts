import { X509Certificate } from "node:crypto";
import type { Certificate } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";
import { printLabels } from "./metric-series.ts";

/** What is told of a certificate, under ingress-nginx's labels. */
interface CertificateFigures {
  /** Of ssl_expire_time_seconds. */
  readonly expiry: { readonly labels: string; readonly seconds: number };
  /** Of ssl_certificate_info. */
  readonly info: string;
}

const known = new WeakMap<Certificate, CertificateFigures | "unreadable">();

/** Of all certificates of a table; what is none is told elsewhere. */
export function certificateFigures(table: RouteTable): readonly CertificateFigures[] {
  return [...table.certificates.values()].flatMap((certificate) => {
    let figures = known.get(certificate);
    if (figures === undefined) {
      figures = figuresOf(certificate);
      known.set(certificate, figures);
    }
    return figures === "unreadable" ? [] : [figures];
  });
}

function figuresOf({ certificate, host, object }: Certificate): CertificateFigures | "unreadable" {
  const { namespace = "", name } = object;
  try {
    const x509 = new X509Certificate(certificate);
    const serial = BigInt(`0x${x509.serialNumber}`).toString();
    const issuer = new Map(x509.issuer.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
    const info = {
      host,
      identifier: `${name}-${serial}`,
      issuer_common_name: issuer.get("CN") ?? "",
      issuer_organization: issuer.get("O") ?? "",
      namespace,
      public_key_algorithm: algorithms[x509.publicKey.asymmetricKeyType ?? ""] ?? "Unknown",
      secret_name: name,
      serial_number: serial,
    };
    return {
      expiry: { labels: printLabels({ host, namespace, secret_name: name }), seconds: Math.floor(x509.validToDate.getTime() / 1000) },
      info: printLabels(info),
    };
  } catch {
    return "unreadable";
  }
}

/** As Go names them. */
const algorithms: Readonly<Record<string, string>> = { rsa: "RSA", "rsa-pss": "RSA", ec: "ECDSA", ed25519: "Ed25519", dsa: "DSA" };
