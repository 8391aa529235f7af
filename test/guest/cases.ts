import type { GuestCase } from "../support/guest-case.ts";
import { ipvsApplierCases } from "./ipvs-applier-cases.ts";
import { ipvsBackendCases } from "./ipvs-backend-cases.ts";
import { ipvsFlowCases } from "./ipvs-flow-cases.ts";
import { ipvsKillCases } from "./ipvs-kill-cases.ts";
import { ipvsLifeCases } from "./ipvs-life-cases.ts";
import { ipvsPacketCases } from "./ipvs-packet-cases.ts";
import { ipvsRefusalCases } from "./ipvs-refusal-cases.ts";
import { ipvsTakeoverCases } from "./ipvs-takeover-cases.ts";
import { ipvsTrafficCases } from "./ipvs-traffic-cases.ts";
import { kernelCases } from "./kernel-cases.ts";

/**
 * What each guest runs, in this order. There are two, side by side: one has one processor, and most of what it costs is to
 * translate that one's instructions.
 */
const guests: readonly (readonly GuestCase[])[] = [
  [...kernelCases, ...ipvsApplierCases, ...ipvsPacketCases],
  [
    ...ipvsTrafficCases,
    ...ipvsBackendCases,
    ...ipvsLifeCases,
    ...ipvsTakeoverCases,
    ...ipvsRefusalCases,
    ...ipvsFlowCases,
    ...ipvsKillCases,
  ],
];

/** Everything, or the cases with FAIRWAY_GUEST_CASES in their name; a guest without any is not started. */
export const guestCases = guests
  .map((cases) => cases.filter((c) => c.name.includes(process.env["FAIRWAY_GUEST_CASES"] ?? "")))
  .filter((cases) => cases.length > 0);
