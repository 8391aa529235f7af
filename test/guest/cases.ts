import type { GuestCase } from "../support/guest-case.ts";
import { kernelCases } from "./kernel-cases.ts";

/** Everything one start of the guest runs, in this order. */
export const guestCases: readonly GuestCase[] = [...kernelCases];
