import { expect, test } from "vitest";
import { paceStep } from "../../../ingress/filter/pace.ts";
import type { ResponseStep } from "../../../ingress/filter/response-step.ts";
import { FakeClock } from "../../support/fake-clock.ts";

interface Heard {
  /** Sizes of pieces, and the words complete, room, abort. */
  readonly said: (number | string)[];
  text: string;
  progress: number;
  room: boolean;
}

function paced(bytesPerSecond: number, afterBytes: number): { step: ResponseStep; heard: Heard; clock: FakeClock } {
  const heard: Heard = { said: [], text: "", progress: 0, room: true };
  const clock = new FakeClock();
  const step = paceStep({ bytesPerSecond, afterBytes }, clock)(
    {
      head: () => undefined,
      body: (bytes) => {
        heard.said.push(bytes.length);
        heard.text += bytes.toString();
        return heard.room;
      },
      flush: () => undefined,
      complete: (trailers) => heard.said.push(`complete ${trailers}`),
      abort: () => heard.said.push("abort"),
    },
    { drained: () => heard.said.push("room"), progressed: () => heard.progress++, cancel: () => undefined },
  );
  return { step, heard, clock };
}

test("what is free goes at once, the rest in pieces of half a second", async () => {
  const { step, heard, clock } = paced(10_000, 20_000);
  const body = Buffer.from("abcdefghij".repeat(4_000));
  expect(step.body(body)).toBe(false);
  // read over, as its owner may
  body.fill("!");
  expect(heard.said).toEqual([25_000]);
  await clock.advance(500);
  expect(heard.said).toEqual([25_000, 5_000]);
  await clock.advance(500);
  expect(heard.said).toEqual([25_000, 5_000, 5_000]);
  expect(heard.progress).toBe(2);
  await clock.advance(1_000);
  expect(heard.said).toEqual([25_000, 5_000, 5_000, 5_000, "room"]);
  expect(heard.text).toBe("abcdefghij".repeat(4_000));
});

test("the end comes after what is held, and is not waited for where nothing is", async () => {
  const held = paced(10_000, 0);
  held.step.body(Buffer.alloc(8_000));
  held.step.complete("x: y\r\n", 0);
  expect(held.heard.said).toEqual([5_000]);
  await held.clock.advance(500);
  expect(held.heard.said).toEqual([5_000, 3_000, "complete x: y\r\n"]);
  const short = paced(10_000, 0);
  expect(short.step.body(Buffer.alloc(3_000))).toBe(false);
  short.step.complete("", 0);
  expect(short.heard.said).toEqual([3_000, "complete "]);
  await short.clock.advance(1_000);
  expect(short.heard.said).toEqual([3_000, "complete "]);
});

test("a client without room holds it up too", async () => {
  const { step, heard, clock } = paced(10_000, 0);
  heard.room = false;
  step.body(Buffer.alloc(8_000));
  await clock.advance(2_000);
  expect(heard.said).toEqual([5_000]);
  heard.room = true;
  step.drained();
  expect(heard.said).toEqual([5_000, 3_000, "room"]);
});

test("nothing is sent once the request has ended", async () => {
  const { step, heard, clock } = paced(10_000, 0);
  step.body(Buffer.alloc(8_000));
  step.close();
  await clock.advance(2_000);
  expect(heard.said).toEqual([5_000]);
});
