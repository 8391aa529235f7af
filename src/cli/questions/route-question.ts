import type { Command } from "commander";
import { answerRoute, emptyRouteTable, IngressTranslator } from "../../../ingress/index.ts";
import { parseCidr } from "../../base/cidr.ts";
import { parseIp } from "../../base/ip.ts";
import type { Kind } from "../../snapshot/cluster-snapshot.ts";
import { batchFromEmpty } from "../../snapshot/snapshot-store.ts";
import type { RouteCommandOptions } from "../commands/route.ts";
import { usageError } from "../errors.ts";
import { printRoute } from "../printers/route.ts";
import { commandIo } from "../program.ts";
import { type Asked, askObjects, failIf, remarkProblems, splitPaths } from "../question.ts";

const kinds: readonly Kind[] = ["Service", "EndpointSlice", "Ingress", "IngressClass", "Secret", "ConfigMap"];
/** Where plain mode's Pods live: their addresses are loopback to everybody else. */
const plainRange = parseCidr("127.64.0.0/10");
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export async function answerRouteQuestion(words: readonly string[], options: RouteCommandOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const { paths, words: own } = splitPaths(options, words, 1);
  const [url = "", ...rest] = own;
  if (rest.length > 0) throw usageError(`route ${own.join(" ")}: give one URL, and files with --objects`);
  if (!/^https?:\/\/[^/?#]+/i.test(url))
    throw usageError(`route ${url}: give a URL with its scheme, http://HOST/PATH or https://HOST/PATH`);
  if (!token.test(options.request)) throw usageError(`-X ${options.request}: not a method`);
  if (options.from !== undefined && parseIp(options.from) === undefined) throw usageError(`--from ${options.from}: not an IP address`);
  const headers = [...(options.header ?? []).map(parseHeader), ...userHeader(options.user)];
  const asked = await askObjects(options, paths, kinds, io);
  const translator = new IngressTranslator(translatorOptions(asked));
  translator.apply(batchFromEmpty(asked.snapshot));
  remarkProblems(io, translator.problems);
  const httpsPort = asked.cluster?.status?.ingress?.addresses[0]?.https;
  const answer = await answerRoute(emptyRouteTable.with(translator.full()), {
    method: options.request,
    url,
    headers,
    ...(options.from === undefined ? {} : { from: options.from }),
    ...(httpsPort === undefined ? {} : { httpsPort }),
  }).catch((e: unknown) => {
    throw e instanceof TypeError ? usageError(`route ${url}: ${e.message}`) : e;
  });
  io.stdout(printRoute(options.output, { method: options.request, url }, answer));
  failIf(options, answer.outcome === "none", `no route for ${url}`);
}

function translatorOptions(asked: Asked): ConstructorParameters<typeof IngressTranslator>[0] {
  return asked.cluster?.status?.mode === "plain" && plainRange !== undefined ? { allowedEndpoints: [plainRange] } : {};
}

function parseHeader(line: string): readonly [name: string, value: string] {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon);
  if (colon < 1 || !token.test(name) || /[\r\n\0]/.test(line)) throw usageError(`-H ${JSON.stringify(line)}: write it as 'Name: value'`);
  return [name, line.slice(colon + 1).trim()];
}

function userHeader(user: string | undefined): readonly (readonly [name: string, value: string])[] {
  if (user === undefined) return [];
  if (!user.includes(":")) throw usageError("-u: write it as USER:PASSWORD");
  return [["Authorization", `Basic ${Buffer.from(user).toString("base64")}`]];
}
