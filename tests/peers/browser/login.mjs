// A person's browser on the pages of an example login app: what its script does in real Chromium.
// Usage: node login.mjs MODULES CHROMIUM < plan.json > seen.json
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, executablePath] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const plan = JSON.parse(readFileSync(0, "utf-8"));
const { typed, counted, read } = plan;
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

const browser = await chromium.launch({ executablePath, args });

/** A new visitor who has asked for a code; what `act` tells, and what the browser complains of. */
async function visitor(number, act, before = () => {}) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  // A page with a sentence on it is a 422, which Chromium notes.
  page.on("console", (said) => said.text().includes("status of 422") || complaints.push(said.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await before(page);
  await page.goto(plan.url);
  await page.getByLabel("Mobile number").fill(number);
  await page.getByRole("button", { name: "Send me a code" }).click();
  await page.waitForSelector("#check");
  await page.waitForLoadState(); // What is deferred has run by then.
  const told = await act(page);
  await context.close();
  return { ...told, complaints };
}

async function codeOf(number) {
  const headers = { authorization: `Bearer ${plan.key}` };
  const inbox = await fetch(`${plan.verify}/fake/inbox/${number}?wait=30`, { headers });
  return (await inbox.json()).messages[0].code;
}

const signedIn = async (page) => page.getByText("Signed in as").innerText();
const seen = {};

seen.typed = await visitor(typed, async (page) => {
  const code = await codeOf(typed);
  await page.keyboard.type(code.replace(/.$/, (last) => (Number(last) + 1) % 10));
  const wrong = await page.getByRole("alert").innerText();
  await page.keyboard.type(`${code.slice(0, 3)} ${code.slice(3)}`);
  return { wrong, right: await signedIn(page) };
});

seen.counted = await visitor(
  counted,
  async (page) => {
    const look = async () => [
      await page.getByRole("button", { name: "Send it again" }).isEnabled(),
      await page.getByRole("button", { name: "Call me instead" }).isEnabled(),
      await page.locator("#wait").innerText(),
    ];
    const looks = [await look()];
    for (const milliseconds of [3_000, 31_000]) {
      await page.clock.runFor(milliseconds);
      looks.push(await look());
    }
    return { looks };
  },
  (page) => page.clock.install(),
);

seen.read = await visitor(
  read,
  async (page) => {
    const code = await codeOf(read);
    const asked = await page.evaluate((code) => window.text(code), code);
    return { asked, right: await signedIn(page) };
  },
  (page) =>
    page.addInitScript(() => {
      window.OTPCredential = class {};
      navigator.credentials.get = ({ otp }) =>
        new Promise((found) => {
          window.text = (code) => (found({ code }), otp.transport);
        });
    }),
);

await browser.close();
console.log(JSON.stringify(seen));
