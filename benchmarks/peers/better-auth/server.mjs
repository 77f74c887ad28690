// better-auth's phone number plugin behind node's own HTTP, as in production: rate limits on, codes in Redis.
// Where it could be dearer it is not: users are in memory and few, no session is begun, and the vendor's connection is kept.
// Environment: PORT, VENDOR_PORT, REDIS_URL, BETTER_AUTH_SECRET.
import cluster from "node:cluster";
import http from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { phoneNumber } from "better-auth/plugins";
import { Redis } from "ioredis";

const WORKERS = 2; // as many as the others have
const MOST_USERS = 500; // its adapter looks through all of them
const { PORT, VENDOR_PORT, REDIS_URL } = process.env;

function serve() {
	const redis = new Redis(REDIS_URL);
	redis.defineCommand("count", {
		numberOfKeys: 1,
		lua: `local n = redis.call('INCR', KEYS[1])
			if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
			return n`,
	});
	const agent = new http.Agent({ keepAlive: true });
	const users = [];
	const auth = betterAuth({
		baseURL: `http://127.0.0.1:${PORT}`,
		database: memoryAdapter({ user: users, session: [], account: [], verification: [] }),
		secondaryStorage: {
			get: (key) => redis.get(key),
			getAndDelete: (key) => redis.getdel(key),
			increment: (key, ttl) => redis.count(key, ttl),
			set: (key, value, ttl) => (ttl ? redis.set(key, value, "EX", ttl) : redis.set(key, value)),
			delete: async (key) => void (await redis.del(key)),
		},
		logger: { level: "error" },
		telemetry: { enabled: false },
		plugins: [
			phoneNumber({
				expiresIn: 600,
				sendOTP: ({ phoneNumber, code }) => post(agent, { to: phoneNumber, body: `${code} is your code.` }),
				signUpOnVerification: { getTempEmail: (number) => `${number.slice(1)}@example.com` },
			}),
		],
	});
	const handle = toNodeHandler(auth);
	http
		.createServer((request, response) => {
			if (users.length > MOST_USERS) users.length = 0;
			return handle(request, response);
		})
		.listen(Number(PORT), "127.0.0.1");
}

function post(agent, message) {
	const body = JSON.stringify(message);
	const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
	return new Promise((resolve, reject) => {
		http
			.request({ agent, host: "127.0.0.1", port: VENDOR_PORT, method: "POST", headers }, (answer) => {
				answer.resume();
				answer.on("end", resolve);
			})
			.on("error", reject)
			.end(body);
	});
}

if (cluster.isPrimary) {
	for (let made = 0; made < WORKERS; made++) cluster.fork();
} else {
	serve();
}
