import type { Cidr } from "../base/cidr.ts";

/** The part of loopback that plain mode lives in: pods, Services and the node. Anyone may bind its addresses on Linux. */
export const plainRange: Cidr = { ip: "127.64.0.0", bits: 10, family: 4 };
