import { type MatrixConfig, type MatrixRow, matrixRows } from "../contract/packet-matrix.ts";
import { podAddress } from "../contract/packets.ts";
import type { SentPacket } from "./packet-check.ts";

export interface SendableRow {
  readonly name: string;
  readonly sent: SentPacket;
}

/** Rows of the matrix that the lab can show: no sockets speak SCTP here, and answers must come back by node `a`. */
export function sendableRows(config: MatrixConfig): readonly SendableRow[] {
  return matrixRows(config).flatMap((row) => sendable(row) ?? []);
}

const pods = new Map((["a1", "b1"] as const).flatMap((pod) => ([4, 6] as const).map((family) => [podAddress(pod, family), pod] as const)));

function sendable({ name, from, packet, fate }: MatrixRow): SendableRow | undefined {
  const { protocol, to: ip, port } = packet;
  if (protocol === "sctp" || fate.verdict === "pass") return undefined;
  const endpoints = fate.endpoints.flatMap((text) => pods.get(text.replace(/^\[|\]?:8080$/g, "")) ?? []);
  const comesBack = fate.masquerade || ["a", "a1", "a2"].includes(from) || endpoints.every((pod) => pod === "a1");
  if (!comesBack) return undefined;
  const want = fate.verdict === "deliver" ? { verdict: fate.verdict, endpoints, masquerade: fate.masquerade } : { verdict: fate.verdict };
  return { name, sent: { from, family: ip.includes(":") ? 6 : 4, protocol, ip, port, want, clientsStay: "never" } };
}
