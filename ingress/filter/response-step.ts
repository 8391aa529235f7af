import type { BodyFraming } from "../upstream/wire/body-framing.ts";

/** A response head on its way to the client: end-to-end headers only, flat: name, value. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly string[];
  /** A step that changes the length of the body must say so here, and take Content-Length from the headers. */
  readonly framing: BodyFraming;
}

/** The rest of a response's way to the client: one head, bodies, then complete or abort, after which nothing is called. */
export interface ResponseOutlet {
  head(head: ResponseHead): void;
  /** The bytes are not kept beyond the call without a copy. False: wait for ResponseSource.drained. */
  body(bytes: Buffer): boolean;
  /** What was given since the last flush may leave. */
  flush(): void;
  /** Trailer lines, each with its CRLF. `now` is monotonic. */
  complete(trailers: string, now: number): void;
  /** The response cannot be ended as announced. A step that has sent no head yet may answer instead. */
  abort(): void;
}

/** What a step does to a response. It may hold back, and answer later, what it was given. */
export interface ResponseStep extends ResponseOutlet {
  /** There is room again after the next outlet's body gave false; goes on to the source once this step has room too. */
  drained(): void;
  /** The request has ended, however it did: once, last. */
  close(): void;
}

/** Where a step's response comes from. */
export interface ResponseSource {
  /** There is room again, after body gave false. */
  drained(): void;
  /** A step sends what it held: the response goes on, though its source waits. */
  progressed(): void;
  /** The rest of the endpoint's response is not wanted: nothing more comes of it, and the step completes it in its own way. */
  cancel(): void;
}

/** Made for each request by the filter that asked for it (FilterOutcome.responseStep), which knows the request. */
export type MakeResponseStep = (next: ResponseOutlet, source: ResponseSource) => ResponseStep;

/** A step that changes the head only. */
export function headStep(change: (head: ResponseHead) => ResponseHead): MakeResponseStep {
  return (next, source) => ({
    head: (head) => next.head(change(head)),
    body: (bytes) => next.body(bytes),
    flush: () => next.flush(),
    complete: (trailers, now) => next.complete(trailers, now),
    abort: () => next.abort(),
    drained: () => source.drained(),
    close: () => undefined,
  });
}

/** The steps of one response, each before the next; `outlet` is the first. */
export interface ResponseSteps {
  readonly outlet: ResponseOutlet;
  /** The client has room again. */
  drained(): void;
  close(): void;
}

/** Joins at least one step to the outlet that is the client. */
export function joinSteps(makers: readonly MakeResponseStep[], client: ResponseOutlet, source: ResponseSource): ResponseSteps {
  const steps: ResponseStep[] = [];
  let next = client;
  for (let i = makers.length - 1; i >= 0; i--) {
    // made from the last to the first: the one before comes after this one in the list
    const place = steps.length + 1;
    const step = makers[i]?.(next, {
      drained: () => (steps[place] ?? source).drained(),
      progressed: () => source.progressed(),
      cancel: () => source.cancel(),
    });
    if (step === undefined) continue;
    steps.push(step);
    next = step;
  }
  return {
    outlet: next,
    drained: () => (steps[0] ?? source).drained(),
    close: () => {
      for (const step of steps) step.close();
    },
  };
}
