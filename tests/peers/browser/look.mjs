// A person's browser on hosted pages: real Chromium, with axe-core's eyes for who needs a page to be accessible.
// Usage: node look.mjs MODULES CHROMIUM < plan.json > seen.json
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, executablePath] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf-8");
const plan = JSON.parse(readFileSync(0, "utf-8"));
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

const PATIENCE_MS = 300_000; // However busy the machine is.
const browser = await chromium.launch({ executablePath, args, timeout: PATIENCE_MS });
const seen = { looks: [], flows: {} };

async function on(url, options, act) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-US", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (said) => complaints.push(said.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  if (options.before) await options.before(page);
  await page.goto(url);
  const told = await act(page);
  await context.close();
  return { complaints, ...told };
}

const words = (page) => page.locator("main").innerText();

async function judged(page, name, width, colorScheme) {
  await page.setViewportSize({ width, height: 800 });
  await page.emulateMedia({ colorScheme });
  await page.evaluate(axe);
  const found = await page.evaluate((tags) => window.axe.run({ runOnly: tags }), WCAG);
  const path = `${plan.shots}/${name}-${colorScheme}-${width}.png`;
  if (plan.shots) await page.locator("main").screenshot({ path });
  return {
    passes: found.passes.length,
    violations: found.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html)}`),
    unsure: found.incomplete.map((each) => `${each.id}: ${each.nodes.map((node) => node.html)}`),
    overflows: await page.evaluate(() => document.documentElement.scrollWidth > innerWidth),
    direction: await page.evaluate(() => getComputedStyle(document.body).direction),
  };
}

const SIGHTS = [320, 1280].flatMap((width) => ["light", "dark"].map((colorScheme) => [width, colorScheme]));

for (const [name, url] of Object.entries(plan.looks)) {
  for (const [width, colorScheme] of SIGHTS) {
    const look = await on(url, {}, (page) => judged(page, name, width, colorScheme));
    seen.looks.push({ name, width, colorScheme, ...look });
  }
}

async function typed(page, code) {
  await page.getByRole("textbox").fill(code);
  await Promise.all([page.waitForURL("**"), page.getByRole("button", { name: "Confirm" }).click()]);
  return page;
}

for (const [name, { url, code }] of Object.entries(plan.logins)) {
  seen.flows[name] = await on(url, { javaScriptEnabled: name !== "without script" }, async (page) => {
    const focused = await page.locator("#code:focus").count();
    await typed(page, "00000000");
    await page.waitForURL("**said=wrong");
    const wrong = await words(page);
    await typed(page, code);
    await page.waitForURL(`${plan.app}**`);
    const led = page.url();
    await page.goBack();
    return { focused, wrong, led, back: await words(page) };
  });
}

seen.flows.countdown = await on(plan.countdown, { before: (page) => page.clock.install() }, async (page) => {
  const button = page.getByRole("button", { name: "Send again: SMS" });
  const first = [await page.locator("#wait").isVisible(), await button.isEnabled(), await words(page)];
  await page.clock.fastForward(300_000);
  const then = await words(page);
  await page.clock.fastForward(1_501_000);
  return { first, then, last: [await page.locator("#wait").isVisible(), await button.isEnabled()] };
});

const finding = (page) =>
  page.addInitScript((code) => {
    window.OTPCredential = class {};
    navigator.credentials.get = async (asked) => ({ code, asked });
  }, plan.webotp.code);
seen.flows.webotp = await on(plan.webotp.url, { before: finding }, async (page) => {
  await page.waitForURL(`${plan.app}**`);
  return { led: page.url() };
});

seen.flows.framed = await on(plan.app, {}, async (page) => {
  await page.evaluate((url) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
    return new Promise((resolve) => frame.addEventListener("load", resolve));
  }, plan.framed);
  return { inside: await page.frames()[1].evaluate(() => document.querySelector("input") !== null).catch(() => false) };
});

seen.flows.forged = await on(plan.app, {}, async (page) => {
  await page.evaluate(({ url, code }) => {
    document.body.innerHTML = `<form method="post"><input name="code"></form>`;
    document.forms[0].action = url;
    document.forms[0].code.value = code;
  }, plan.forged);
  await Promise.all([page.waitForURL(plan.forged.url), page.evaluate(() => document.forms[0].submit())]);
  return { words: await words(page) };
});

// What an authenticator app shows for the key of the page (RFC 6238), which is in Base32.
function shown(key) {
  const bits = [...key.replaceAll(" ", "")].map((sign) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(sign));
  const binary = bits.map((five) => five.toString(2).padStart(5, "0")).join("");
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const mac = createHmac("sha1", Buffer.from(binary.match(/.{8}/g).map((byte) => parseInt(byte, 2)))).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

for (const [name, url] of Object.entries(plan.enrolments)) {
  const scripted = name === "with script";
  const permissions = ["clipboard-read", "clipboard-write"];
  seen.flows[`enrolment ${name}`] = await on(url, { javaScriptEnabled: scripted, permissions }, async (page) => {
    const key = await page.locator("code").innerText();
    await page.getByRole("textbox").fill(shown(key));
    await page.getByRole("button", { name: "Confirm" }).click();
    await page.getByText("Your recovery codes").first().waitFor();
    const codes = await page.locator("#codes li").allInnerTexts();
    const buttons = await page.getByRole("button").allInnerTexts();
    if (scripted) {
      for (const [width, colorScheme] of SIGHTS) {
        const look = await judged(page, "codes", width, colorScheme);
        seen.looks.push({ name: "codes", width, colorScheme, complaints: [], ...look });
      }
      await page.getByRole("button", { name: "Copy" }).click();
      await page.getByRole("button", { name: "✓ Copy" }).waitFor();
    }
    const copied = scripted ? await page.evaluate(() => navigator.clipboard.readText()) : "";
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download" }).click(),
    ]);
    const saved = readFileSync(await download.path(), "utf-8");
    await page.getByRole("link", { name: "I have saved these codes" }).click();
    await page.waitForURL(`${plan.app}**`);
    const led = page.url();
    await page.goto(url);
    const then = await words(page);
    return { key, codes, buttons, copied, name: download.suggestedFilename(), saved, led, then };
  });
}

seen.flows.choosing = await on(plan.choosing.url, { javaScriptEnabled: false }, async (page) => {
  await page.getByRole("link", { name: "Use a recovery code" }).click();
  const recovery = await words(page);
  await page.getByRole("button", { name: "Send a code: SMS" }).click();
  await page.getByText("We sent a code to").waitFor();
  const sent = await words(page);
  const { inbox, key } = plan.choosing;
  const answer = await fetch(inbox, { headers: { Authorization: `Bearer ${key}` } });
  await typed(page, (await answer.json()).messages[0].code);
  await page.waitForURL(`${plan.app}**`);
  return { recovery, sent, led: page.url() };
});

await browser.close();
console.log(JSON.stringify(seen));
