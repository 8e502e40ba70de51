"use strict";

// A server whose paths are behind the strategies of passport: /digest, /basic, /bearer, and /any, which takes Digest
// and Basic. What gets through a strategy is answered 200. The log has its line before the answer leaves.

const fs = require("node:fs");
const http = require("node:http");
const { parseArgs } = require("node:util");
const { Passport } = require("passport");
const { BasicStrategy, DigestStrategy } = require("passport-http");
const { Strategy: BearerStrategy } = require("passport-http-bearer");

const { values: options } = parseArgs({
  options: {
    log: { type: "string" },
    user: { type: "string" },
    password: { type: "string" },
    token: { type: "string" },
    realm: { type: "string" },
    algorithm: { type: "string" }, // none: the challenge names none
    qop: { type: "string" }, // none: RFC 2069
    uses: { type: "string", default: "0" }, // how often a nonce is good, 0: for ever
  },
});
const STRATEGIES = { digest: ["digest"], basic: ["basic"], bearer: ["bearer"], any: ["digest", "basic"] };

const log = fs.openSync(options.log, "a");
const uses = new Map();

// passport-http knows no nonces: it takes any, as often as it comes, unless it is told to ask here.
function isFresh({ nonce }, done) {
  const count = (uses.get(nonce) ?? 0) + 1;
  uses.set(nonce, count);
  done(null, count <= Number(options.uses));
}

const passport = new Passport();
passport.use(
  new DigestStrategy(
    { realm: options.realm, algorithm: options.algorithm, qop: options.qop },
    (user, done) => done(null, user === options.user && user, options.password),
    ...(options.uses === "0" ? [] : [isFresh]),
  ),
);
passport.use(
  new BasicStrategy({ realm: options.realm }, (user, password, done) =>
    done(null, user === options.user && password === options.password && user),
  ),
);
passport.use(
  new BearerStrategy({ realm: options.realm }, (token, done) => done(null, token === options.token && options.user)),
);

function answer(request, response, body) {
  const end = response.end;
  response.end = (...content) => {
    const line = {
      method: request.method,
      target: request.url,
      status: response.statusCode,
      body: body.toString("latin1"),
      authorization: request.headers.authorization ?? "",
    };
    fs.writeSync(log, `${JSON.stringify(line)}\n`);
    end.apply(response, content);
  };
  const strategies = STRATEGIES[request.url.split("/")[1]];
  if (strategies === undefined) {
    response.statusCode = 404;
    response.end();
    return;
  }
  passport.authenticate(strategies, { session: false })(request, response, (error) => {
    response.statusCode = error ? 500 : 200;
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(error ? { error: error.message } : { user: request.user }));
  });
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => answer(request, response, Buffer.concat(chunks)));
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ listening: `http://127.0.0.1:${server.address().port}` }));
});
