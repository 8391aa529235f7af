import { expect, test } from "vitest";
import { ExchangeDeadlines } from "../../../ingress/proxy/exchange-deadlines.ts";

const timeouts = { connectSeconds: 5, sendSeconds: 30, readSeconds: 10 };

interface Row {
  readonly name: string;
  readonly run: (d: ExchangeDeadlines) => void;
  /** Milliseconds from which on; undefined: never. */
  readonly late: number | undefined;
  readonly over: number | undefined;
}

const rows: readonly Row[] = [
  { name: "nothing is waited for", run: () => undefined, late: undefined, over: undefined },
  { name: "who waits in a queue has the queue's time", run: (d) => d.waitUntil(700), late: 700, over: undefined },
  {
    name: "an endpoint that has all of the body has its time to answer",
    run: (d) => {
      d.follow(timeouts, 0);
      d.expect({ now: 1_000, bodySent: true });
    },
    late: 11_000,
    over: undefined,
  },
  {
    name: "while the body is sent the longer time counts",
    run: (d) => {
      d.follow(timeouts, 0);
      d.expect({ now: 1_000, bodySent: false });
    },
    late: 31_000,
    over: undefined,
  },
  {
    name: "a try has a time of its own until it is answered",
    run: (d) => {
      d.follow({ ...timeouts, trySeconds: 3 }, 0);
      d.expect({ now: 1_000, bodySent: true, tryStartedAt: 500 });
    },
    late: 3_500,
    over: undefined,
  },
  {
    name: "an answer that goes on has the time of a read again",
    run: (d) => {
      d.follow({ ...timeouts, trySeconds: 3 }, 0);
      d.progressed(5_000);
    },
    late: 15_000,
    over: undefined,
  },
  { name: "where no route is known, a minute", run: (d) => d.progressed(0), late: 60_000, over: undefined },
  {
    name: "the whole ends when the first of those who set it an end says",
    run: (d) => {
      d.endBy(9_000);
      d.follow({ ...timeouts, requestSeconds: 8 }, 500);
      d.progressed(0);
    },
    late: 10_000,
    over: 8_500,
  },
  {
    name: "a tunnel waits for nothing",
    run: (d) => {
      d.follow(timeouts, 0);
      d.progressed(0);
      d.stop();
    },
    late: undefined,
    over: undefined,
  },
];

test.each(rows)("$name", ({ run, late, over }) => {
  const d = new ExchangeDeadlines();
  run(d);
  expect([d.isLate((late ?? 1e12) - 1), d.isLate(late ?? 1e12)]).toEqual([false, late !== undefined]);
  expect([d.isOver((over ?? 1e12) - 1), d.isOver(over ?? 1e12)]).toEqual([false, over !== undefined]);
});
