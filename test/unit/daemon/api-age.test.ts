import { expect, test } from "vitest";
import { ApiError } from "../../../src/client/errors.ts";
import { ApiAge } from "../../../src/daemon/api-age.ts";
import { FakeClock } from "../../support/fake-clock.ts";

test("while the API is away what is known gets older, from when it was last heard; refusals and silence are not that", async () => {
  const clock = new FakeClock();
  const age = new ApiAge(clock);
  await clock.advance(60_000);
  expect(age.seconds).toBe(0);
  age.failed(new ApiError({ kind: "Status", apiVersion: "v1", status: "Failure", code: 404, reason: "NotFound", message: "gone" }, 404));
  expect(age.seconds).toBe(0);
  age.failed(new Error("connect ECONNREFUSED"));
  await clock.advance(5000);
  expect(age.metrics()).toMatch(/^fairway_api_stale_seconds 65$/m);
  age.heard();
  await clock.advance(5000);
  expect(age.seconds).toBe(0);
});
