import { expect, test } from "vitest";
import { builtInImages, findImage, matchesGlob, parseImages } from "../../../src/node/images.ts";

const file = `
images:
- match: "*/e2e-test-images/agnhost:*"
  root: host
  files: {/agnhost: /opt/agnhost}
  entrypoint: [/agnhost]
  cmd: [pause]
  env: {MODE: test, PORT: 80}
  workingDir: /srv
  user: 1000
- match: nginx
  root: /var/images/nginx
`;

test("an images file is read with its defaults", () => {
  const [agnhost, nginx] = parseImages(file, "f");
  expect(agnhost).toEqual({
    match: "*/e2e-test-images/agnhost:*",
    image: {
      root: "host",
      files: { "/agnhost": "/opt/agnhost" },
      entrypoint: ["/agnhost"],
      cmd: ["pause"],
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", MODE: "test", PORT: "80" },
      workingDir: "/srv",
      user: "1000",
    },
  });
  expect(nginx?.image).toMatchObject({ root: { folder: "/var/images/nginx" }, workingDir: "/", user: "0", cmd: [] });
});

test.each([
  ["images: [", "f: "],
  ["[]", "f: expected a list `images`"],
  ["images: [{match: a, entrypoint: x}]", "f: images[0].entrypoint: expected a list of strings"],
  ["images: [{match: ''}]", "f: images[0].match: expected an image name or a glob"],
  ["images: [{match: a, rooot: host}]", "f: images[0].rooot: unknown field"],
  ["images: [{match: a, root: rel}]", "f: images[0].root: expected `host` or an absolute path"],
  ["images: [{match: a, files: {/a: b}}]", "f: images[0].files: /a: expected absolute paths"],
  ["images: [{match: a, env: [x]}]", "f: images[0].env: expected an object of strings"],
])("bad file %s", (text, message) => {
  expect(() => parseImages(text, "f")).toThrow(message);
});

test.each([
  ["*/agnhost:*", "registry.k8s.io/e2e-test-images/agnhost:2.53", true],
  ["*/agnhost:*", "agnhost:2.53", false],
  ["a*b*c", "a-b-b-c", true],
  ["a*b", "ab", true],
  ["a*a", "a", false],
  ["*", "anything/at:all", true],
  ["x.y", "xzy", false],
])("glob %s of %s: %s", (glob, text, want) => {
  expect(matchesGlob(glob, text)).toBe(want);
});

test.each([
  ["nginx", true],
  ["nginx:latest", true],
  ["docker.io/library/nginx:latest", true],
  ["nginx:1.27", false],
  ["example.com:5000/nginx", false],
])("the entry `nginx` stands for %s: %s", (name, want) => {
  expect(findImage(name, parseImages(file, "f")) !== undefined).toBe(want);
});

test("built-in images are found with and without a tag", () => {
  const entries = builtInImages({ nodeBinary: "/n", distFolder: "/d" });
  for (const name of ["fairway/echo", "fairway/echo:latest", "docker.io/fairway/shell", "fairway/pause"]) {
    expect(findImage(name, entries), name).toBeDefined();
  }
  expect(findImage("fairway/echo", entries)?.files).toEqual({ "/opt/fairway/bin/node": "/n", "/opt/fairway/dist": "/d" });
});
