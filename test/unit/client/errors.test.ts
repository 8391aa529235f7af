import { expect, test } from "vitest";
import { apiError, createClient, readText } from "../../../src/client/client.ts";
import {
  ApiError,
  ClientError,
  clientErrors,
  isAlreadyExists,
  isConflict,
  isForbidden,
  isGone,
  isInvalid,
  isNotFound,
} from "../../../src/client/errors.ts";
import { compareRev, resourcePath } from "../../../src/client/resource.ts";
import { resources } from "../../../src/client/resources.ts";
import type { ApiResponse } from "../../../src/client/transport.ts";
import { MemoryApi, status } from "../../support/memory-api.ts";

const predicates = { isNotFound, isConflict, isAlreadyExists, isGone, isForbidden, isInvalid };

test.each([
  [404, "NotFound", ["isNotFound"]],
  [409, "Conflict", ["isConflict"]],
  [409, "AlreadyExists", ["isAlreadyExists"]],
  [410, "Expired", ["isGone"]],
  [403, "Forbidden", ["isForbidden"]],
  [401, "Unauthorized", ["isForbidden"]],
  [422, "Invalid", ["isInvalid"]],
  [400, "BadRequest", ["isInvalid"]],
  [500, "InternalError", []],
] as const)("%i %s is %j and nothing else", (code, reason, want) => {
  const error = new ApiError({ reason, code }, code);
  expect(
    Object.entries(predicates)
      .filter(([, is]) => is(error))
      .map(([name]) => name),
  ).toEqual(want);
});

test("no predicate takes another error", () => {
  for (const is of Object.values(predicates))
    expect([is(new Error("x")), is(undefined), is(new ClientError("connection", "x"))]).toEqual([false, false, false]);
});

test("codes of the room", () => {
  expect(Object.keys(clientErrors)).toEqual(["kubeconfig", "credentials", "connection", "protocol"]);
  expect(new ClientError("connection", "m", "why")).toMatchObject({ name: "ClientError", code: "connection", message: "m", cause: "why" });
});

const answer = (text: string, headers: Record<string, string> = {}): ApiResponse => ({
  status: 503,
  headers,
  body: (async function* () {
    yield Buffer.from(text);
  })(),
});

test.each([
  [
    "a Status",
    `{"kind":"Status","message":"m","reason":"R","details":{"retryAfterSeconds":3}}`,
    {},
    { message: "m", reason: "R", retryAfterSeconds: 3 },
  ],
  ["plain text", "upstream gone\n", { "retry-after": "5" }, { message: "upstream gone", reason: "", retryAfterSeconds: 5 }],
  ["nothing", "", {}, { message: "HTTP 503", reason: "" }],
  ["JSON that is no Status", `{"a":1}`, {}, { message: `{"a":1}` }],
] as const)("%s becomes an error with a message", async (_, text, headers, want) => {
  const response = answer(text, headers);
  expect(apiError(response, await readText(response))).toMatchObject({ ...want, code: 503 });
});

test("an answer that is no JSON is told with its beginning", async () => {
  const api = new MemoryApi();
  api.intercept = () => ({ ...answer("<html>"), status: 200 });
  await expect(createClient(api).json({ method: "GET", path: "/version" })).rejects.toThrow("the answer to /version is not JSON: <html>");
});

test("a delete says whether the object is gone", async () => {
  const api = new MemoryApi();
  const client = createClient(api);
  await client.create(resources.configMaps, { metadata: { namespace: "a", name: "x", finalizers: ["f/x"] } });
  expect(await client.delete(resources.configMaps, { namespace: "a", name: "x" })).toMatchObject({
    kind: "going",
    object: { metadata: { name: "x" } },
  });
  api.intercept = () => status(200, "", "", "Success");
  expect(await client.delete(resources.configMaps, { namespace: "a", name: "y" })).toEqual({ kind: "gone" });
});

test.each([
  [resources.pods, {}, "/api/v1/pods"],
  [
    resources.pods,
    { namespace: "a", name: "b", subresource: "log", query: { follow: true, tailLines: 5, container: undefined } },
    "/api/v1/namespaces/a/pods/b/log?follow=true&tailLines=5",
  ],
  [resources.deployments, { namespace: "a" }, "/apis/apps/v1/namespaces/a/deployments"],
  [resources.nodes, { namespace: "a", name: "n/1" }, "/api/v1/nodes/n%2F1"],
  [resources.pods, { query: { labelSelector: "a in (b,c)" } }, "/api/v1/pods?labelSelector=a+in+%28b%2Cc%29"],
] as const)("the path of %o", (of, at, want) => {
  expect(resourcePath(of, at)).toBe(want);
});

test("versions are ordered as numbers of any length", () => {
  const sorted = ["10", "9", "100", "99999999999999999999", "2"].sort(compareRev);
  expect(sorted).toEqual(["2", "9", "10", "100", "99999999999999999999"]);
});
