import { expect, test } from "vitest";
import { changeLinks, throughProxy } from "../../../src/apiserver/proxied-links.ts";

const place = { prefix: "/api/v1/namespaces/n/pods/web:80/proxy", hosts: ["10.0.0.1:80", "127.0.0.1:8001"] };

test.each([
  { address: "/", want: `${place.prefix}/` },
  { address: "/a/b?x=1#y", want: `${place.prefix}/a/b?x=1#y` },
  { address: "a/b", want: "a/b" },
  { address: "?x=1", want: "?x=1" },
  { address: "#top", want: "#top" },
  { address: "", want: "" },
  { address: "http://10.0.0.1:80/a", want: `${place.prefix}/a` },
  { address: "https://127.0.0.1:8001/a", want: `${place.prefix}/a` },
  { address: "//10.0.0.1:80/a", want: `${place.prefix}/a` },
  { address: "http://example.com/a", want: "http://example.com/a" },
  { address: "//example.com/a", want: "//example.com/a" },
  { address: "mailto:a@b", want: "mailto:a@b" },
  { address: `${place.prefix}/a`, want: `${place.prefix}/a` },
  { address: `${place.prefix}-other`, want: `${place.prefix}${place.prefix}-other` },
])("an address of a proxied page: $address", ({ address, want }) => {
  expect(throughProxy(place, address)).toBe(want);
});

test.each([
  { what: "a link", html: '<a href="/x">/x</a>', want: '<a href="[/x]">/x</a>' },
  { what: "any case, any quotes", html: "<A HREF='/x'>,<a href = /x>", want: "<A HREF='[/x]'>,<a href = [/x]>" },
  { what: "several in one tag", html: '<img alt="src=/n" src="/a" usemap="/b"/>', want: '<img alt="src=/n" src="[/a]" usemap="[/b]"/>' },
  { what: "attributes that hold no address", html: '<a title="/x" href>', want: '<a title="/x" href>' },
  { what: "elements that have none", html: '<p href="/x">', want: '<p href="/x">' },
  {
    what: "scripts",
    html: '<script src="/s">a < b; "<a href=/x>"</script><a href=/y>',
    want: '<script src="[/s]">a < b; "<a href=/x>"</script><a href=[/y]>',
  },
  { what: "comments", html: '<!-- <a href="/x"> --><a href="/y">', want: '<!-- <a href="/x"> --><a href="[/y]">' },
  { what: "a closing bracket in quotes", html: '<a title="a>b" href="/x">', want: '<a title="a>b" href="[/x]">' },
  { what: "no tag", html: "1 < 2 <3> </a", want: "1 < 2 <3> </a" },
  { what: "an unfinished tag", html: '<a href="/x"><a href="/y', want: '<a href="[/x]"><a href="/y' },
  { what: "an unfinished comment", html: '<!-- <a href="/x">', want: '<!-- <a href="/x">' },
  { what: "an unfinished script", html: "<script><a href=/x>", want: "<script><a href=/x>" },
])("links of a page: $what", ({ html, want }) => {
  expect(changeLinks(html, (address) => `[${address}]`)).toBe(want);
});

test.each(["<a ", "<a href='", "<a<", "<!--", "<script>", '<a "', "</"])("a page of %s many times over is read once", (part) => {
  let asked = 0;
  changeLinks(part.repeat(100_000), (address) => {
    asked++;
    return address;
  });
  expect(asked).toBeLessThan(2);
});
