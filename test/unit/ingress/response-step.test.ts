import { expect, test } from "vitest";
import {
  headStep,
  joinSteps,
  type MakeResponseStep,
  type ResponseHead,
  type ResponseOutlet,
  type ResponseSource,
} from "../../../ingress/filter/response-step.ts";

const head: ResponseHead = { status: 200, reason: "OK", headers: [], framing: { kind: "length", bytes: 2 } };

/** Writes down what reaches the client; `room` is what its body gives. */
function client(heard: string[], room = true): ResponseOutlet {
  return {
    head: (h) => heard.push(`head ${h.status} ${h.headers.join(" ")}`),
    body: (bytes) => {
      heard.push(`body ${bytes.toString()}`);
      return room;
    },
    flush: () => heard.push("flush"),
    complete: (trailers) => heard.push(`complete ${trailers}`),
    abort: () => heard.push("abort"),
  };
}

function source(heard: string[]): ResponseSource {
  return {
    drained: () => heard.push("source drained"),
    progressed: () => heard.push("source progressed"),
    cancel: () => heard.push("source cancelled"),
  };
}

const named = (name: string): MakeResponseStep => headStep((h) => ({ ...h, headers: [...h.headers, name, String(h.headers.length)] }));

/** Sends the whole body at once when it is there, in capitals. */
const whole =
  (heard: string[]): MakeResponseStep =>
  (next, from) => {
    let text = "";
    let first: ResponseHead | undefined;
    return {
      head: (h) => {
        first = h;
      },
      body: (bytes) => {
        text += bytes.toString().toUpperCase();
        return false;
      },
      flush: () => undefined,
      complete: (trailers, now) => {
        if (first !== undefined) next.head(first);
        next.body(Buffer.from(text));
        next.complete(trailers, now);
      },
      abort: () => {
        next.head({ ...head, status: 502 });
        next.complete("", 0);
      },
      drained: () => {
        heard.push("whole drained");
        from.drained();
      },
      close: () => heard.push("whole closed"),
    };
  };

const cases: readonly {
  readonly name: string;
  readonly makers: (heard: string[]) => readonly MakeResponseStep[];
  readonly run: (outlet: ResponseOutlet, end: { drained(): void; close(): void }) => void;
  readonly want: readonly string[];
}[] = [
  {
    name: "steps change the head in their order",
    makers: () => [named("a"), named("b"), named("c")],
    run: (o) => {
      o.head(head);
      o.body(Buffer.from("ok"));
      o.flush();
      o.complete("", 0);
    },
    want: ["head 200 a 0 b 2 c 4", "body ok", "flush", "complete "],
  },
  {
    name: "a step holds the response back, and the next one sees what it makes of it",
    makers: (heard) => [whole(heard), named("a")],
    run: (o) => {
      o.head(head);
      o.body(Buffer.from("o"));
      o.flush();
      o.body(Buffer.from("k"));
      o.complete("x: y\r\n", 0);
    },
    want: ["head 200 a 0", "body OK", "complete x: y\r\n"],
  },
  {
    name: "a step that has sent nothing answers instead of a response that broke off",
    makers: (heard) => [named("a"), whole(heard)],
    run: (o) => {
      o.head(head);
      o.abort();
    },
    want: ["head 502 ", "complete "],
  },
  {
    name: "room goes back from the client through every step to the endpoint; close reaches all",
    makers: (heard) => [named("a"), whole(heard), named("b"), whole(heard)],
    run: (_o, end) => {
      end.drained();
      end.close();
    },
    want: ["whole drained", "whole drained", "source drained", "whole closed", "whole closed"],
  },
  {
    name: "a step gives up the rest of the endpoint's response",
    makers: () => [
      named("a"),
      (next, from) => ({
        ...headStep((h) => h)(next, from),
        head: (h) => {
          from.cancel();
          next.head({ ...h, status: 404 });
          next.complete("", 0);
        },
      }),
    ],
    run: (o) => o.head(head),
    want: ["source cancelled", "head 404 a 0", "complete "],
  },
];

test.each(cases)("$name", ({ makers, run, want }) => {
  const heard: string[] = [];
  const steps = joinSteps(makers(heard), client(heard), source(heard));
  run(steps.outlet, steps);
  expect(heard).toEqual(want);
});

test("a slow client makes who sends wait, through steps that change heads only", () => {
  const steps = joinSteps([named("a"), named("b")], client([], false), source([]));
  expect(steps.outlet.body(Buffer.from("x"))).toBe(false);
});
