/** `undefined` when all is well, else what is wrong in a few words for an operator. */
export type HealthCheck = (signal: AbortSignal) => string | undefined | Promise<string | undefined>;
export type HealthEndpoint = "healthz" | "livez" | "readyz";

export interface Health {
  /** `on` defaults to readyz and healthz: a process that is only not ready should not be killed. Returns what removes it. */
  add(name: string, check: HealthCheck, on?: readonly HealthEndpoint[]): () => void;
  ask(endpoint: HealthEndpoint, request?: HealthRequest): Promise<HealthAnswer>;
}

export interface HealthRequest {
  readonly verbose?: boolean;
  readonly exclude?: readonly string[];
  /** Only this check: `/readyz/NAME`. */
  readonly only?: string;
}

export interface HealthAnswer {
  /** 200, 500 when a check failed, 404 when `only` names none. */
  readonly status: 200 | 404 | 500;
  /** Text as Kubernetes prints it. */
  readonly body: string;
  readonly failed: readonly { readonly name: string; readonly message: string }[];
}

/** How long one check may take before it counts as failed. */
const checkTimeout = 5000;

/** Named checks, run at the same time when asked. `ping` always passes: the event loop answered. */
export function createHealth(): Health {
  const checks = new Map<string, { readonly check: HealthCheck; readonly on: readonly HealthEndpoint[] }>();
  checks.set("ping", { check: () => undefined, on: ["healthz", "livez", "readyz"] });
  return {
    add: (name, check, on = ["healthz", "readyz"]) => {
      if (checks.has(name)) throw new Error(`health check ${name} exists already`);
      checks.set(name, { check, on });
      return () => void checks.delete(name);
    },
    ask: async (endpoint, request = {}) => {
      const named = [...checks].filter(([name, c]) => c.on.includes(endpoint) && (request.only === undefined || request.only === name));
      if (named.length === 0) return { status: 404, body: `no such check: ${request.only ?? endpoint}\n`, failed: [] };
      const excluded = new Set(request.exclude);
      const results = await Promise.all(
        named.map(async ([name, { check }]) => ({ name, message: excluded.has(name) ? undefined : await runCheck(check) })),
      );
      const failed = results.flatMap(({ name, message }) => (message === undefined ? [] : [{ name, message }]));
      return { status: failed.length === 0 ? 200 : 500, body: print(endpoint, request, results, excluded), failed };
    },
  };
}

async function runCheck(check: HealthCheck): Promise<string | undefined> {
  const signal = AbortSignal.timeout(checkTimeout);
  const late = Promise.withResolvers<string>();
  const stop = (): void => late.resolve(`no answer in ${checkTimeout / 1000} s`);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([check(signal), late.promise]);
  } catch (e) {
    return e instanceof Error ? e.message : String(e);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function print(
  endpoint: HealthEndpoint,
  request: HealthRequest,
  results: readonly { readonly name: string; readonly message: string | undefined }[],
  excluded: ReadonlySet<string>,
): string {
  const passed = results.every((r) => r.message === undefined);
  if (passed && request.verbose !== true) return "ok";
  const lines = results.map(({ name, message }) => {
    if (excluded.has(name)) return `[+]${name} excluded: ok`;
    return message === undefined ? `[+]${name} ok` : `[-]${name} failed: ${message}`;
  });
  return `${[...lines, `${endpoint} check ${passed ? "passed" : "failed"}`].join("\n")}\n`;
}
