import type { Clock } from "../../src/base/clock.ts";
import type { Running } from "../../src/base/running.ts";

export interface WatchedFileOptions<T> {
  readonly file: string;
  /** Milliseconds between looks; 0: never again. */
  readonly every: number;
  readonly clock: Clock;
  readonly readText: (file: string) => Promise<string>;
  /** May throw: what was read before stays. */
  readonly parse: (text: string) => T;
  readonly changed: (value: T) => void;
  /** A look that failed. */
  readonly failed: (error: unknown) => void;
}

/** What a file says, read again when its text changes. `ready` waits for the first look, which may fail as each later one. */
export function watchFile<T>(o: WatchedFileOptions<T>): Running {
  const closing = new AbortController();
  let last: string | undefined;
  const look = async (): Promise<void> => {
    try {
      const text = await o.readText(o.file);
      if (text === last) return;
      last = text;
      o.changed(o.parse(text));
    } catch (error) {
      o.failed(error);
    }
  };
  const ready = look();
  const loop = async (): Promise<void> => {
    await ready;
    while (o.every > 0 && !closing.signal.aborted) {
      await o.clock.sleep(o.every, closing.signal).catch(() => undefined);
      if (!closing.signal.aborted) await look();
    }
  };
  const running = loop();
  return {
    ready,
    close: async () => {
      closing.abort();
      await running;
    },
  };
}
