import type { Container, Probe } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import { type ProbeKind, type ProbeTarget, startProbe } from "./probe.ts";

export interface ContainerProbesConfig {
  readonly container: Container;
  /** When the container started; milliseconds since 1970. */
  readonly startedAt: number;
  /** The startup probe has succeeded before, as an earlier agent told. */
  readonly started: boolean;
  readonly clock: Clock;
  target(): ProbeTarget;
  /** While the pod ends only readiness is told: nothing is to be started or restarted any more. */
  ending(): boolean;
}

export interface ContainerProbesListener {
  /** The startup probe has succeeded; not told of a container without one, or one that had started. */
  started(): void;
  ready(ok: boolean): void;
  /** A probe has failed for long enough for the container to be restarted; told again after each further threshold. */
  mustRestart(kind: ProbeKind, probe: Probe): void;
  /** Every single failure. */
  failed(kind: ProbeKind, message: string): void;
}

/** The probes of one run of a container, the startup probe before the others, until the signal aborts. */
export function startContainerProbes(config: ContainerProbesConfig, listener: ContainerProbesListener, signal: AbortSignal): void {
  const { container, startedAt, clock } = config;
  const start = (kind: ProbeKind, probe: Probe, verdict: (ok: boolean) => void): void => {
    startProbe(
      { kind, probe, startedAt, target: () => config.target(), clock },
      {
        changed: (ok) => {
          if (!signal.aborted) verdict(ok);
        },
        failed: (message) => {
          if (!signal.aborted) listener.failed(kind, message);
        },
      },
      signal,
    );
  };
  const { startupProbe, readinessProbe, livenessProbe } = container;
  const startOthers = (): void => {
    if (readinessProbe !== undefined) start("Readiness", readinessProbe, (ok) => listener.ready(ok));
    if (livenessProbe === undefined) return;
    start("Liveness", livenessProbe, (ok) => {
      if (!ok && !config.ending()) listener.mustRestart("Liveness", livenessProbe);
    });
  };
  if (startupProbe === undefined || config.started) {
    startOthers();
    return;
  }
  start("Startup", startupProbe, (ok) => {
    if (config.ending()) return;
    if (!ok) {
      listener.mustRestart("Startup", startupProbe);
      return;
    }
    listener.started();
    startOthers();
  });
}
