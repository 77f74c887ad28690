// An OpenID provider that is not ours: oidc-provider, with its own pages to sign in. It prints its address as soon as it
// listens, and ends with whoever started it.
//
// node provider.mjs MODULES: what it is to know comes in by the standard input, as JSON on one line: client, secret,
// redirect.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [modules] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`).href);
const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit(0));
const { client, secret, redirect } = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: client, client_secret: secret, redirect_uris: [redirect] }],
    claims: { email: ["email", "email_verified"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: id !== "mallory" }),
    }),
    cookies: { keys: ["a key of the test's own"] },
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256" }] },
    pkce: { required: () => true },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
