// Asks a ratelimitd from Node, by the published proto. Express, Fastify and the like call `check` in a middleware.
//
//   npm install && node check.js 127.0.0.1:8081
//
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const proto = process.env.RATELIMITD_PROTO ?? fileURLToPath(new URL("../../proto", import.meta.url));
const definition = protoLoader.loadSync("ratelimitd/v1/ratelimit.proto", {
  includeDirs: [proto],
  enums: String,
  defaults: true,
  arrays: true,
});
const { RateLimitService } = grpc.loadPackageDefinition(definition).ratelimitd.v1;

const address = process.argv[2] ?? "127.0.0.1:8081";
// A limiter next door is not asked through a web proxy; a connection that is lost is made again within a second.
const client = new RateLimitService(address, grpc.credentials.createInsecure(), {
  "grpc.enable_http_proxy": 0,
  "grpc.max_reconnect_backoff_ms": 1000,
});

/** The verdict on one request. Rejects when there is none: a denial is an answer, a failure is not. */
function check(request, milliseconds = 250) {
  return new Promise((resolve, reject) => {
    client.Check(request, { deadline: Date.now() + milliseconds }, (error, verdict) =>
      error ? reject(error) : resolve(verdict),
    );
  });
}

for (let i = 0; i < 3; i++) {
  const verdict = await check(
    {
      method: "POST",
      path: "/login",
      source_address: "203.0.113.7", // the peer; X-Forwarded-For goes along in the headers
      host: "shop.example",
      headers: [{ name: "user-agent", value: Buffer.from("example") }],
    },
    2000, // the first call connects
  );
  // Only DECISION_ALLOW allows. `headers` belong on the response either way (RateLimit, Retry-After).
  const allowed = verdict.decision === "DECISION_ALLOW";
  const headers = Object.fromEntries(verdict.headers.map((h) => [h.name, h.value.toString()]));
  console.log(allowed ? "allow" : "deny", verdict.status, headers.ratelimit ?? "", headers["retry-after"] ?? "");
}
client.close();
