// Counts down what the page says in seconds, takes a code that the browser finds in a text message (WebOTP), and asks
// for the page again when its life has ended. Without this script a person asks for it themselves. A form that is to be
// sent once is, however often it is clicked; recovery codes are printed and copied.
"use strict";

const began = performance.now();
const left = (seconds) => Math.max(0, Math.ceil(Number(seconds) - (performance.now() - began) / 1000));
const main = document.querySelector("main");
const wait = document.getElementById("wait");
const code = document.getElementById("code");

function shown(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function tick() {
  for (const clock of document.querySelectorAll("[data-clock]")) {
    clock.textContent = shown(left(clock.dataset.clock));
  }
  if (wait) {
    wait.hidden = !left(wait.querySelector("[data-clock]").dataset.clock);
    for (const button of document.getElementsByName("send")) button.disabled = !wait.hidden;
  }
  if (main.dataset.life && !left(main.dataset.life)) location.replace(location.pathname);
}

tick();
setInterval(tick, 500);

addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

if (code && "OTPCredential" in window) {
  const asking = new AbortController();
  code.form.addEventListener("submit", () => asking.abort());
  navigator.credentials.get({ otp: { transport: ["sms"] }, signal: asking.signal }).then(
    (found) => {
      code.value = found.code;
      code.form.requestSubmit();
    },
    () => {},
  );
}

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.once) event.preventDefault();
    form.dataset.once = "sent";
  });
}

function offer(id, act) {
  const button = document.getElementById(id);
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => act(button));
}

const lines = () => [...document.querySelectorAll("#codes li")].map((line) => line.textContent.trim()).join("\n");
offer("print", () => print());
if (navigator.clipboard) {
  offer("copy", async (button) => {
    await navigator.clipboard.writeText(lines());
    button.textContent = `✓ ${button.textContent.replace("✓ ", "")}`;
  });
}
