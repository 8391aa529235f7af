import { expect, test } from "vitest";
import { fillText } from "../../../ingress/route/request-text.ts";
import { isBad } from "../../../ingress/translate/annotation-values.ts";
import { parseRequestText } from "../../../ingress/translate/request-text.ts";
import { bindTexts } from "../../../ingress/translate/route-texts.ts";
import { filteredRequest } from "../../support/filtered-request.ts";

const request = filteredRequest({
  method: "POST",
  authority: "A.test:8080",
  target: "/a%20b/../c%0Ad?x=1%0A2&y",
  headers: ["x-user", "eve", "cookie", "a=1; b=2", "content-type", "text/plain"],
  secure: true,
  port: 8443,
});
const facts = {
  namespace: "shop",
  ingress: "web",
  service: "cart",
  servicePort: "http",
  upstream: "shop-cart-http",
  path: "/c",
  server: "a.test",
};

test.for<[text: string, want: string]>([
  ["plain text, 5$ of it", "plain text, 5$ of it"],
  ["$host $http_host $best_http_host", "a.test A.test:8080 A.test:8080"],
  ["$remote_addr $binary_remote_addr $the_real_ip", "192.0.2.1 192.0.2.1 192.0.2.1"],
  ["$proxy_add_x_forwarded_for", "192.0.2.1"],
  ["$scheme $pass_access_scheme $https", "https https on"],
  ["$server_port $pass_port $pass_server_port", "8443 8443 8443"],
  ["$request_method $request_uri", "POST /a%20b/../c%0Ad?x=1%0A2&y"],
  ["$uri", "/c%0Ad"],
  ["$escaped_request_uri", "%2Fa%2520b%2F..%2Fc%250Ad%3Fx%3D1%250A2%26y"],
  ["$args $query_string$is_args", "x=1%0A2&y x=1%0A2&y?"],
  ["$arg_x|$arg_y|$arg_z", "1%0A2||"],
  ["$http_x_user $http_nothing|$cookie_b $content_type", "eve |2 text/plain"],
  ["$request_id $req_id $msec", "r1 r1 1750000000.123"],
  ["$namespace/$ingress_name $service_name:$service_port", "shop/web cart:http"],
  ["$" + "{proxy_upstream_name}x $location_path $server_name", "shop-cart-httpx /c a.test"],
])("%s is %s", ([text, want]) => {
  const parts = parseRequestText(text);
  if (isBad(parts)) throw new Error(`not known: ${parts.expected}`);
  expect(fillText(bindTexts(parts, facts), request)).toBe(want);
});

test("an unknown variable is named", () => {
  expect(parseRequestText("a $upstream_addr b")).toEqual({ expected: "text with variables that are known here ($upstream_addr is not)" });
});

test("what has no variables of its route stays the same value", () => {
  const plain = { filters: [{ kind: "a", list: [1, "2", null] }], key: [{ kind: "host" }] };
  const mixed = { plain, key: [{ kind: "route", name: "namespace" }] };
  expect(bindTexts(plain, facts)).toBe(plain);
  const after = bindTexts(mixed, facts);
  expect(after).toEqual({ plain, key: [{ kind: "text", text: "shop" }] });
  expect(after.plain).toBe(plain);
});
