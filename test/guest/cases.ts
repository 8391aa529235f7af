import type { GuestCase } from "../support/guest-case.ts";
import { ipvsApplierCases } from "./ipvs-applier-cases.ts";
import { ipvsTrafficCases } from "./ipvs-traffic-cases.ts";
import { kernelCases } from "./kernel-cases.ts";

/** Everything one start of the guest runs, in this order. */
export const guestCases: readonly GuestCase[] = [...kernelCases, ...ipvsApplierCases, ...ipvsTrafficCases];
