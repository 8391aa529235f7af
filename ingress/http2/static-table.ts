import { type FieldLine, fieldLine } from "./field-line.ts";

/** RFC 7541 appendix A, in its order: a line `name` or `name: value` each. */
const text = `:authority
:method: GET
:method: POST
:path: /
:path: /index.html
:scheme: http
:scheme: https
:status: 200
:status: 204
:status: 206
:status: 304
:status: 400
:status: 404
:status: 500
accept-charset
accept-encoding: gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`;

/** The first has index 1. */
export const staticLines: readonly FieldLine[] = text.split("\n").map((line) => {
  const colon = line.indexOf(": ");
  return colon < 0 ? fieldLine(line, "") : fieldLine(line.slice(0, colon), line.slice(colon + 2));
});

/** What the table has under one name. */
export interface StaticName {
  /** Of the first line with that name. */
  readonly index: number;
  readonly values: ReadonlyMap<string, number>;
}

export const staticNames: ReadonlyMap<string, StaticName> = new Map(
  [...Map.groupBy(staticLines.entries(), ([, line]) => line.name)].map(([name, lines]) => [
    name,
    { index: (lines[0]?.[0] ?? 0) + 1, values: new Map(lines.map(([i, line]) => [line.value, i + 1])) },
  ]),
);
