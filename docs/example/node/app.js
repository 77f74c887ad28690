// The login of ../app.py for Express: the same pages, sentences and protections. Copy what you need.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import cookieParser from "cookie-parser";
import express from "express";

const REGION = "US"; // for numbers that are written without a country code
const DIGITS = 6; // of a code, as the policy of the service has it: with the last one, the page sends itself
// What a person is told, by the kind of problem. A kind that is not here is for who runs this app, and goes to its log.
const SENTENCES = JSON.parse(readFileSync(new URL("../sentences.json", import.meta.url)));
const OF_A_FIELD = { to: "invalid-number", region: "invalid-number", channel: "no-call", code: "no-code" };
const OVER = ["checks-exhausted", "verification-not-found"];
const MOST_BYTES = 4096; // of a form; the service takes no more of a field
const CSP = "default-src 'none'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const {
  LOGIN_API_KEY: apiKey,
  LOGIN_VERIFY_URL: verifyUrl = "http://127.0.0.1:8080",
  LOGIN_SECRET_KEY: secretKey = randomBytes(32).toString("hex"),
  // Where browsers find the app. The text names it, so that they fill the code in here and nowhere else. It is a
  // setting: a stranger chooses the Host header, and could have a code sent that is for a site of their own.
  LOGIN_HOST: host = "localhost",
  LOGIN_PORT: port = "5000",
} = process.env;
if (!apiKey) {
  console.error("LOGIN_API_KEY is not set; beside `make run` it is what the file .verify/api-key has");
  process.exit(1);
}

/** [status, answer]; 503 and {} where there is none. The same `once` has its effect once, so a lost answer is asked for
 *  again: no second message, no second try spent. The API key stays on this server; a browser never sees it. */
async function verify(path, body, once) {
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json", "idempotency-key": once };
  for (let tries = 2; tries > 0; tries--) {
    try {
      const asked = { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(4000) };
      const answer = await fetch(verifyUrl + path, asked);
      return [answer.status, await answer.json()];
    } catch {
      continue;
    }
  }
  return [503, {}];
}

/** The sentence's name for a problem that the service answered: the end of its `type`, or more exactly. */
function kindOf(problem) {
  const kind = problem.type?.split("/").at(-1);
  if (kind === "invalid-request") return OF_A_FIELD[problem.errors[0].field] ?? kind;
  return problem.limit === "cooldown" ? "cooldown" : kind;
}

function inWords(seconds) {
  const [size, unit] = [[3600, "h"], [60, "min"], [1, "s"]].find(([size]) => seconds >= 2 * size || size === 1);
  return `${Math.ceil(seconds / size)} ${unit}`;
}

/** HTML, in which every value is text; `safe` is HTML already. */
const escape = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const html = (parts, ...values) =>
  ({ safe: String.raw({ raw: parts }, ...values.map((value) => value?.safe ?? escape(value || ""))) });

const digest = (value) => createHash("sha256").update(JSON.stringify(value ?? null)).digest();

const app = express();
app.use(cookieParser(secretKey), express.urlencoded({ extended: false, limit: MOST_BYTES }));
// Behind a proxy, set "trust proxy", or every visitor has the proxy's address.

app.use((req, res, next) => {
  // No copy is kept, no script runs but ours, and no other page shows this one in a frame.
  res.set({ "Cache-Control": "no-store", "Content-Security-Policy": CSP });
  req.login = req.signedCookies.login || {};
  // A form must come from a page of ours; otherwise another site could sign a visitor in as somebody else.
  const { csrf } = req.login;
  const forged = !csrf || !timingSafeEqual(digest(csrf), digest(req.body?.csrf));
  if (req.method === "POST" && forged) return res.status(400).send("This form is not from a page of ours.");
  next();
});
app.use("/static", express.static(fileURLToPath(new URL("../static", import.meta.url))));

// The cookie is signed, not encrypted: it holds the visitor's own number and an id that is worth nothing without the
// API key.
function keep(res, login) {
  res.cookie("login", login, { signed: true, httpOnly: true, secure: true, sameSite: "lax" });
}

const forgotten = ({ csrf, user }) => ({ csrf, user });

function page(req, res, sentence = "", status = 200, facts = {}) {
  const login = { ...req.login, csrf: req.login.csrf ?? randomBytes(32).toString("base64url") };
  keep(res, login);
  const notice = SENTENCES[sentence]?.replace(/{(\w+)}/g, (_, name) => facts[name]);
  const wait = Math.max(0, Math.ceil(((login.resendAt ?? 0) - Date.now()) / 1000));
  const hidden = html`<input type="hidden" name="csrf" value="${login.csrf}">
    <input type="hidden" name="once" value="${randomBytes(32).toString("base64url")}">`;
  const form = login.user
    ? html`<p>Signed in as ${login.user}.</p>
  <form method="post" action="/sign-out">${hidden}<button>Sign out</button></form>`
    : login.id
      ? html`<p>${login.channel === "voice" ? "We are calling" : "We have sent a code to"} ${login.to}.</p>
  <form method="post" action="/code" id="check" data-digits="${DIGITS}">${hidden}
    <label>Code <input name="code" inputmode="numeric" autocomplete="one-time-code" required autofocus></label>
    <button>Sign in</button></form>
  <form method="post" action="/resend" id="again">${hidden}
    <button name="channel" value="sms">Send it again</button>
    ${!login.noCalls && html`<button name="channel" value="voice">Call me instead</button>`}
    ${wait > 0 && html`<span id="wait" data-seconds="${wait}">possible in ${wait} s</span>`}</form>
  <a href="/login">Use another number</a>`
      : html`<form method="post" action="/login">${hidden}
    <label>Mobile number <input name="number" type="tel" autocomplete="tel" required autofocus></label>
    <button>Send me a code</button></form>`;
  const shown = html`<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<title>Sign in</title>
<script src="/static/login.js" defer></script>
${notice && html`<p role="alert">${notice}</p>`}
${form}
`;
  res.status(status).send(shown.safe);
}

function refused(req, res, problem) {
  const kind = kindOf(problem);
  if (!(kind in SENTENCES)) {
    console.error("the service says", problem.status, problem.type);
    return page(req, res, "unavailable", 503);
  }
  if (OVER.includes(kind)) req.login = forgotten(req.login);
  if (kind === "no-call") req.login.noCalls = true;
  const status = [403, 429].includes(problem.status) ? problem.status : 422;
  page(req, res, kind, status, { wait: inWords(problem.retry_after ?? 0) });
}

/** The Idempotency-Key: a second click on the same page with the same content is the same request. */
const once = (req, ...content) => digest([req.login.csrf, req.body.once, ...content]).toString("hex");

async function sendCode(req, res, number, channel = "sms") {
  const body = { to: number, region: REGION, channel, origin: host, ip: req.ip };
  const [status, answer] = await verify("/start", body, once(req, number, channel));
  if (status !== 201) return refused(req, res, answer);
  const resendAt = Date.parse(answer.resend_at);
  keep(res, { ...req.login, id: answer.id, to: answer.to, channel: answer.channel, resendAt });
  res.redirect(303, "/code");
}

const withCode = (req, res, next) => (req.login.id ? next() : res.redirect(303, "/login"));

app.get("/", (req, res) => (req.login.user ? page(req, res) : res.redirect(303, "/login")));
app.get("/login", (req, res) => {
  req.login = forgotten(req.login);
  page(req, res);
});
app.post("/login", (req, res) => sendCode(req, res, req.body.number ?? ""));
app.get("/code", withCode, (req, res) => page(req, res));
app.post("/resend", withCode, (req, res) =>
  sendCode(req, res, req.login.to, req.body.channel === "voice" ? "voice" : "sms"));

// By the id in the session: by number, a stranger could use up the owner's tries.
app.post("/code", withCode, async (req, res) => {
  const typed = req.body.code ?? "";
  const [status, answer] = await verify("/check", { id: req.login.id, code: typed, ip: req.ip }, once(req, typed));
  if (status !== 200) return refused(req, res, answer);
  if (answer.approved === true) {
    // Nothing of the visitor from before goes on: not the form token either.
    keep(res, { user: req.login.to });
    return res.redirect(303, "/");
  }
  if (answer.status === "pending") return page(req, res, "wrong", 422, { left: answer.checks_left });
  refused(req, res, { type: "/problems/checks-exhausted", status: 429 });
});

app.post("/sign-out", (req, res) => {
  res.clearCookie("login");
  res.redirect(303, "/login");
});

// Express' own would show the stack, and write all that was sent to the log, a code perhaps.
app.use((error, _req, res, _next) => {
  if (!error.status) console.error(error.stack);
  res.status(error.status ?? 500).send("This did not work.");
});

const server = app.listen(Number(port), "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(`http://localhost:${server.address().port}`);
});
