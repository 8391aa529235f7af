export { AccessLog } from "./proxy/access-log.ts";
export type { AccessEntry, ProxyTimeouts } from "./proxy/context.ts";
export {
  type Address,
  type IngressServer,
  type IngressServerConfig,
  type IngressServerDeps,
  startIngressServer,
} from "./proxy/ingress-server.ts";
export { type AnsweredBackend, answerRoute, type RouteAnswer, type RouteQuestion, routeOffline } from "./proxy/route-answer.ts";
export type { KeyPair } from "./proxy/tls-contexts.ts";
export type { ProxySettings } from "./route/proxy-settings.ts";
export type { Certificate, GossipSettings, Pool, Route, RouteDelta, StreamService } from "./route/route.ts";
export { emptyRouteTable, type RouteTable } from "./route/route-table.ts";
export {
  type BackendFigures,
  type CanaryStatus,
  canaryStatusAnnotation,
  nextCanaryStatus,
  printCanaryStatus,
} from "./translate/canary-progress.ts";
export { type GrowingCanary, growingCanary } from "./translate/growing-canary.ts";
export { type IngressScope, ingressClassName, ingressController } from "./translate/ingress-class.ts";
export { desiredStatus } from "./translate/ingress-status.ts";
export { IngressTranslator, type TranslatorOptions } from "./translate/ingress-translator.ts";
export {
  type IngressReport,
  type MigrationReport,
  nginxScope,
  reportMigration,
  type SettingReport,
} from "./translate/migration.ts";
export type { Connection, ConnectionFactory, ListenAt } from "./upstream/connection.ts";
