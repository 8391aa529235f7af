import type { GuestCase } from "../support/guest-case.ts";
import { ipvsApplierCases } from "./ipvs-applier-cases.ts";
import { ipvsBackendCases } from "./ipvs-backend-cases.ts";
import { ipvsLifeCases } from "./ipvs-life-cases.ts";
import { ipvsPacketCases } from "./ipvs-packet-cases.ts";
import { ipvsTrafficCases } from "./ipvs-traffic-cases.ts";
import { kernelCases } from "./kernel-cases.ts";

const all: readonly GuestCase[] = [
  ...kernelCases,
  ...ipvsApplierCases,
  ...ipvsTrafficCases,
  ...ipvsPacketCases,
  ...ipvsBackendCases,
  ...ipvsLifeCases,
];

/** What one start of the guest runs, in this order: everything, or the cases with FAIRWAY_GUEST_CASES in their name. */
export const guestCases = all.filter((c) => c.name.includes(process.env["FAIRWAY_GUEST_CASES"] ?? ""));
