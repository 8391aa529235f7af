import type { LifecycleHandler } from "../api/types/core-v1.generated.ts";
import { type ProbeTarget, probeHttp, probeTcp } from "./probe.ts";

/** Runs a postStart or preStop hook. Resolves with what went wrong, or nothing; never rejects. */
export async function runHook(hook: LifecycleHandler, target: ProbeTarget, signal: AbortSignal): Promise<string | undefined> {
  if (hook.exec !== undefined) {
    const command = hook.exec.command ?? [];
    const { code, output } = await target.exec(command, signal);
    return code === 0 ? undefined : `command '${command.join(" ")}' exited with ${code}: ${output}`;
  }
  if (hook.httpGet !== undefined) {
    const result = await probeHttp(hook.httpGet, target, signal);
    // Any answer is a run hook; only silence is not.
    return result.ok || result.message.startsWith("HTTP probe failed") ? undefined : result.message;
  }
  if (hook.sleep !== undefined) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, (hook.sleep?.seconds ?? 0) * 1000);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
      if (signal.aborted) resolve();
    });
    return undefined;
  }
  if (hook.tcpSocket !== undefined) {
    const port = target.port(hook.tcpSocket.port);
    const result = port === undefined ? undefined : await probeTcp(hook.tcpSocket.host ?? target.ip, port, signal);
    return result?.ok === true ? undefined : "the port could not be reached";
  }
  return undefined;
}
