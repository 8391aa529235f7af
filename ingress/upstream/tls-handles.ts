import type { SecureContext } from "node:tls";
import { type AcceptedHandle, bindingOf, hasMethods, type StreamHandle } from "./stream-handles.ts";

/** The parts of the handle below a TLS socket that the fast transport uses (Node's lib/internal/tls/wrap.js). */
export interface TlsHandle extends StreamHandle {
  /** Called from within OpenSSL: nothing may be written, read or destroyed until it returns. */
  onhandshakedone: () => void;
  /** Called while the handshake waits for `certCbDone`, if `enableCertCb` was. */
  oncertcb: (asked: { readonly servername: string; readonly OCSPRequest: boolean }) => void;
  onerror: (error: Error) => void;
  /** What is shown instead of the context that the handle was made with. */
  sni_context: object | undefined;
  enableCertCb(): void;
  certCbDone(): void;
  setOCSPResponse(response: Buffer): void;
  setALPNProtocols(names: Buffer): void;
  getALPNNegotiatedProtocol(): unknown;
  getServername(): unknown;
  isSessionReused(): boolean;
  shutdown(request: object): number;
  /** Bytes as if they had been read. */
  receive(bytes: Buffer): void;
  destroySSL(): void;
}

/** Of a secure context of node:tls. */
export interface NativeContext {
  setTicketKeys(keys: Buffer): void;
  /** DER. */
  getCertificate(): unknown;
}

export interface TlsBinding {
  /** Reads and writes of the handle below go through the one that it gives from now on. */
  wrap(below: AcceptedHandle, context: NativeContext): TlsHandle;
}

/** What `wrap` takes has changed between versions, and one that is called amiss ends the process. */
const knownNode = "26";

/** The binding of this Node, or undefined where it is not there or may have another shape. */
export function tlsBinding(): TlsBinding | undefined {
  if (process.versions.node.split(".", 1)[0] !== knownNode) return undefined;
  try {
    const binding = Object(bindingOf("tls_wrap")) as object;
    const wrap: unknown = Reflect.get(binding, "wrap");
    const TLSWrap: unknown = Reflect.get(binding, "TLSWrap");
    if (typeof wrap !== "function" || typeof TLSWrap !== "function") return undefined;
    if (!hasMethods(TLSWrap.prototype, methods)) return undefined;
    const isServer = true;
    const isWriting = false;
    return { wrap: (below, context) => Reflect.apply(wrap, binding, [below, context, isServer, isWriting]) as TlsHandle };
  } catch {
    // a Node that has closed the door
    return undefined;
  }
}

const methods = [
  ...["readStart", "readStop", "useUserBuffer", "writeBuffer", "writev", "shutdown", "receive", "destroySSL"],
  ...["enableCertCb", "certCbDone", "setOCSPResponse", "setALPNProtocols", "getALPNNegotiatedProtocol", "getServername", "isSessionReused"],
];

/** Throws where a context is not as it is known to be: the transport's trial finds out. */
export function nativeContextOf(context: SecureContext): NativeContext {
  const native: unknown = context.context;
  if (!isNativeContext(native)) throw new Error("this Node has another TLS");
  return native;
}

function isNativeContext(c: unknown): c is NativeContext {
  return hasMethods(c, ["setTicketKeys", "getCertificate"]);
}

/** The certificate that it shows (DER). */
export function certificateOf(context: SecureContext): Buffer | undefined {
  const certificate = nativeContextOf(context).getCertificate();
  return Buffer.isBuffer(certificate) ? certificate : undefined;
}
