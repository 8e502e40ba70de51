// An authorization server, oidc-provider with its own pages for login and consent, and an API of PATCH that takes its
// access tokens. The log has a line for each request before its answer leaves; /stats tells the counts.

import fs from "node:fs";
import http from "node:http";
import { parseArgs } from "node:util";
import Provider, { errors } from "oidc-provider";

const { values: options } = parseArgs({
  options: {
    log: { type: "string" },
    clients: { type: "string" }, // their metadata, as JSON
    port: { type: "string", default: "0" },
    lifetime: { type: "string", default: "3600" }, // of an access token, in seconds
    "refresh-lifetime": { type: "string", default: "1209600" },
    "refresh-always": { type: "boolean", default: false }, // without the scope offline_access too
    "device-interval": { type: "string" }, // none: the answer names none
  },
});
const SCOPES = ["api:read", "api:write"];
const WRITE = "api:write";

// oidc-provider warns of settings that only fit development.
for (const name of ["info", "warn"]) {
  const say = console[name];
  console[name] = (...words) => String(words[0]).includes("oidc-provider ") || say(...words);
}

const log = fs.openSync(options.log, "a");
const stats = { token_requests: {}, token_refusals: {}, applied: {}, unauthorized: 0 };

function count(of, name) {
  of[name] = (of[name] ?? 0) + 1;
}

function provider(issuer) {
  const resource = `${issuer}/api`;
  const made = new Provider(issuer, {
    clients: JSON.parse(options.clients),
    clientAuthMethods: ["none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"],
    clockTolerance: 0, // 15 seconds by itself, which a token that lives for two would outlive
    cookies: { keys: ["for tests"] },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, indicator) => {
          if (indicator !== resource) throw new errors.InvalidTarget();
          return { scope: SCOPES.join(" "), accessTokenFormat: "opaque" };
        },
      },
    },
    issueRefreshToken: (_, client, source) =>
      client.grantTypeAllowed("refresh_token") &&
      (options["refresh-always"] || source.scopes.has("offline_access")),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: {
      AccessToken: Number(options.lifetime),
      ClientCredentials: Number(options.lifetime),
      RefreshToken: Number(options["refresh-lifetime"]),
    },
  });
  made.on("server_error", (_, error) => console.error(error)); // oidc-provider says nothing of it by itself
  made.use(async (context, next) => {
    await next();
    const interval = options["device-interval"];
    if (interval !== undefined && context.body?.device_code) context.body.interval = Number(interval);
  });
  return made;
}

async function found(issuing, value) {
  const token = (await issuing.AccessToken.find(value)) ?? (await issuing.ClientCredentials.find(value));
  return token?.aud === `${issuing.issuer}/api` ? token : undefined;
}

function refuse(response, status, error) {
  const attributes = { realm: "api", ...error };
  const named = Object.entries(attributes).map(([name, value]) => `${name}="${value}"`);
  response.writeHead(status, { "WWW-Authenticate": `Bearer ${named.join(", ")}` }).end();
}

async function api(issuing, request, response) {
  const n = /^\/api\/things\/([^/?]+)$/.exec(request.url)?.[1];
  if (n === undefined) return response.writeHead(404).end();
  if (request.method !== "PATCH") return response.writeHead(405, { Allow: "PATCH" }).end();
  const value = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (value === undefined) return refuse(response, 401);
  const token = await found(issuing, value);
  if (token === undefined) {
    return refuse(response, 401, { error: "invalid_token", error_description: "unknown, expired or revoked" });
  }
  if (!token.scopes.has(WRITE)) return refuse(response, 403, { error: "insufficient_scope", scope: WRITE });
  count(stats.applied, request.url);
  response.writeHead(200, { "Content-Type": "application/json" });
  return response.end(JSON.stringify({ n: /^\d+$/.test(n) ? Number(n) : n }));
}

// The log and the counts, at the last moment before the answer leaves.
function recorded(request, response) {
  const end = response.end;
  response.end = (...content) => {
    const status = response.statusCode;
    const line = {
      method: request.method,
      target: request.url,
      status,
      body: request.body.toString("latin1"),
      authorization: request.headers.authorization ?? "",
    };
    fs.writeSync(log, `${JSON.stringify(line)}\n`);
    if (request.url.startsWith("/api/") && status === 401) stats.unauthorized += 1;
    if (request.method === "POST" && request.url === "/token") {
      const grant = new URLSearchParams(request.body.toString()).get("grant_type") ?? "";
      count(stats.token_requests, grant);
      if (status !== 200) count(stats.token_refusals, grant);
    }
    return end.apply(response, content);
  };
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    request.body = Buffer.concat(chunks); // oidc-provider takes it from there where the stream has ended
    if (request.url === "/stats") {
      response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(stats));
      return;
    }
    recorded(request, response);
    if (!request.url.startsWith("/api/")) {
      handle(request, response);
      return;
    }
    api(issuing, request, response).catch((error) => {
      console.error(error);
      response.writeHead(500).end();
    });
  });
});
let issuing;
let handle;
server.keepAliveTimeout = 60_000;
server.listen(Number(options.port), "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  issuing = provider(issuer);
  handle = issuing.callback();
  console.log(JSON.stringify({ issuer }));
});
