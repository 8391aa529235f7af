import { createHash } from "node:crypto";
import {
  checkServerIdentity,
  createSecureContext,
  type DetailedPeerCertificate,
  type SecureContext,
  type TLSSocket,
  connect as tlsConnect,
} from "node:tls";
import type { UpstreamTls } from "../route/route.ts";
import { intermediatesOf } from "./certificate-chain.ts";
import type { UpstreamAddress } from "./connection.ts";

/** Contexts by what the route says, made once. */
const contexts = new WeakMap<UpstreamTls, SecureContext>();
/** Sessions by endpoint and terms, so that a new connection resumes an old one's. */
const sessions = new Map<string, Buffer>();
const maxSessions = 1_000;
const unverified: UpstreamTls = { verify: false, sendServerName: true };

/** A TLS connection to an endpoint. Throws when the PEM texts of the route cannot be used. */
export function connectTls(to: UpstreamAddress, protocols: readonly string[]): TLSSocket {
  const options = to.tlsOptions ?? unverified;
  const key = `${to.ip} ${to.port} ${to.serverName ?? ""} ${termsKey(options)} ${protocols.join()}`;
  const session = sessions.get(key);
  const expected = to.expectedName;
  const socket = tlsConnect({
    host: to.ip,
    port: to.port,
    secureContext: contextOf(options),
    rejectUnauthorized: options.verify,
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    ...(to.serverName === undefined ? {} : { servername: to.serverName }),
    // the name is checked whether it was sent or not
    checkServerIdentity: (host: string, certificate) =>
      checkServerIdentity(expected ?? host, certificate) ?? depthError(options, certificate as DetailedPeerCertificate),
    ...(session === undefined ? {} : { session }),
  });
  socket.on("session", (s: Buffer) => {
    if (sessions.size >= maxSessions) sessions.clear();
    sessions.set(key, s);
  });
  return socket;
}

/** node:tls has no limit of its own. */
function depthError({ verifyDepth }: UpstreamTls, certificate: DetailedPeerCertificate): Error | undefined {
  if (verifyDepth === undefined || intermediatesOf(certificate) <= verifyDepth) return undefined;
  return new Error(`more than ${verifyDepth} certificates stand between the endpoint's and an authority`);
}

function contextOf(options: UpstreamTls): SecureContext {
  let context = contexts.get(options);
  if (context === undefined) {
    context = createSecureContext({
      minVersion: options.minVersion ?? "TLSv1.2",
      maxVersion: options.maxVersion ?? "TLSv1.3",
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...(options.certificate === undefined ? {} : { cert: options.certificate }),
      ...(options.key === undefined ? {} : { key: options.key }),
      ...(options.ciphers === undefined ? {} : { ciphers: options.ciphers }),
    });
    contexts.set(options, context);
  }
  return context;
}

const keys = new WeakMap<UpstreamTls, string>();

/** Connections made on different terms must not stand in for each other. */
export function termsKey(options: UpstreamTls): string {
  let key = keys.get(options);
  if (key === undefined) {
    key = createHash("sha256").update(JSON.stringify(options)).digest("base64url");
    keys.set(options, key);
  }
  return key;
}
