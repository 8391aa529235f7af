import type { Ip } from "../../src/base/ip.ts";
import type { Answerer } from "../answer/answerer.ts";
import type { ZonesConfig } from "../config/zone-config.ts";
import type { DomainName } from "../wire/name.ts";
import { offerRecursion, refuseForeign, refuseUnusual } from "./access.ts";
import { answerErrors } from "./failure.ts";
import { composeChain, type DnsHandler, type Wrap } from "./handler.ts";
import { answerZones, refuseRest } from "./zone-names.ts";

export interface ChainConfig {
  readonly answerer: Answerer;
  readonly zones: ZonesConfig;
  /** Zones of others, canonical, of which the answerer knows some names. */
  readonly passing?: readonly DomainName[];
  readonly isAllowed: (client: Ip) => boolean;
  readonly report: (error: unknown, name: string) => void;
  readonly cache?: Wrap;
  /** Absent: names outside the zones are refused. */
  readonly forward?: DnsHandler;
}

/** The chain for what the answerer leaves over. The order is this array. */
export function createChain(config: ChainConfig): DnsHandler {
  const wraps: readonly (Wrap | undefined)[] = [
    config.forward === undefined ? undefined : offerRecursion(config.isAllowed),
    answerErrors(config.report),
    refuseUnusual,
    // before access: the cluster's names are no secret, recursion is what strangers do not get
    answerZones(config.answerer, config.zones, config.passing),
    refuseForeign(config.isAllowed),
    // behind access: what strangers ask must not fill it, nor be told from it
    config.cache,
  ];
  return composeChain(
    wraps.filter((w) => w !== undefined),
    config.forward ?? refuseRest,
  );
}
