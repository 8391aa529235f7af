import { ipBytes } from "../../src/base/ip.ts";
import { addressOfLabel } from "../zone/endpoint-name.ts";

/** The address that a label `10-0-0-1` or `fd00--1` spells, in network order. */
export function podAddress(bytes: Uint8Array, at: number, length: number): Uint8Array | undefined {
  const label = Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString("latin1");
  const ip = addressOfLabel(label);
  return ip === undefined ? undefined : ipBytes(ip);
}
