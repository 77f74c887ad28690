// Twilio's package for Node against a service of ours; prints what came of it as JSON.
const { createHmac, randomUUID } = require("node:crypto");
const twilio = require("twilio");

const [url, account, key, service, to, other] = process.argv.slice(2);

function client(password) {
  const made = twilio(account, password);
  made.verify.baseUrl = url;
  return made.verify.v2;
}

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return [error.status, error.code];
  }
  throw new Error("was not refused");
}

async function code(number) {
  for (;;) {
    const asked = await fetch(`${url}/fake/inbox/${encodeURIComponent(number)}?wait=20`, {
      headers: { Authorization: `Bearer ${key}` },
    });
    const { messages } = await asked.json();
    if (messages.length) return messages[0].code;
  }
}

// The code of RFC 6238's own secret (its appendix B) in the time step of a moment, or in one behind it.
function totp(date, steps) {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(date.getTime() / 30000) + steps));
  const mac = createHmac("sha1", "12345678901234567890").update(counter).digest();
  const found = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff;
  return String(found % 1000000).padStart(6, "0");
}

// An app is enrolled, and asked for its codes. Each is right on both sides of a time step's end.
async function app(at) {
  const who = at.entities(randomUUID());
  const made = await who.newFactors.create({
    friendlyName: "Ann’s phone",
    factorType: "totp",
    "binding.secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
  });
  const right = totp(made.dateCreated, 0);
  const factor = who.factors(made.sid);
  const missed = await factor.update({ authPayload: totp(made.dateCreated, 9) });
  const verified = await factor.update({ authPayload: right });
  const asked = await who.challenges.create({ factorSid: made.sid });
  const challenge = who.challenges(asked.sid);
  const again = await challenge.update({ authPayload: right });
  const approved = await challenge.update({ authPayload: totp(made.dateCreated, 1) });
  const responded = await refused(() => challenge.update({ authPayload: right }));
  return {
    enrolled: [made.status, missed.status, verified.status],
    asked: [asked.status, again.status, approved.status],
    responded,
    entity: [await who.remove(), await refused(() => who.fetch())],
  };
}

async function main() {
  const verify = client(key);
  const at = verify.services(service);
  const created = await at.verifications.create({ to, channel: "sms" });
  const right = await code(to);
  const wrong = String((Number(right) + 1) % 10 ** right.length).padStart(right.length, "0");
  const missed = await at.verificationChecks.create({ to, code: wrong });
  const early = await refused(() => at.verifications.create({ to, channel: "sms" }));
  const approved = await at.verificationChecks.create({ verificationSid: created.sid, code: right });
  const again = await refused(() => at.verificationChecks.create({ to, code: right }));
  await at.verifications.create({ to: other, channel: "sms" });
  const fetched = await at.verifications(other).fetch();
  const canceled = await at.verifications(fetched.sid).update({ status: "canceled" });
  const invalid = await refused(() => at.verifications.create({ to: "+1", channel: "sms" }));
  const unknown = await refused(() => client("vk_default_wrong").services(service).fetch());
  const shops = [
    await verify.services.create({ friendlyName: "Shop A" }),
    await verify.services.create({ friendlyName: "Shop B" }),
  ];
  const listed = await verify.services.list({ pageSize: 1 });
  const deleted = [];
  for (const shop of shops) {
    if (listed.some((each) => each.sid === shop.sid)) deleted.push(await shop.remove());
  }
  const said = {
    created: created.status,
    wrong: [missed.status, missed.valid],
    right: [approved.status, approved.valid],
    again,
    fetched: fetched.status,
    canceled: canceled.status,
    early,
    invalid,
    unknown,
    first: listed[0].sid,
    deleted,
    ...(await app(at)),
  };
  console.log(JSON.stringify(said));
}

main();
