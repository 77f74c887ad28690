// What a script can make easier on the login page. Without it, all of it works by hand.
"use strict";

const form = document.getElementById("check");
if (form) {
  const code = form.elements.code;
  const sendWhenComplete = () => {
    if (code.value.match(/\p{Nd}/gu)?.length === Number(form.dataset.digits)) form.requestSubmit();
  };
  code.addEventListener("input", sendWhenComplete);

  // WebOTP: the browser reads the code from a text whose last line names this site, if the person agrees.
  if ("OTPCredential" in window) {
    const waiting = new AbortController();
    form.addEventListener("submit", () => waiting.abort());
    navigator.credentials.get({ otp: { transport: ["sms"] }, signal: waiting.signal }).then(
      (found) => {
        code.value = found.code;
        sendWhenComplete();
      },
      () => {}, // The person said no, or was quicker.
    );
  }
}

const wait = document.getElementById("wait");
if (wait) {
  const buttons = document.querySelectorAll("#again button");
  const end = Date.now() + 1000 * Number(wait.dataset.seconds);
  const tick = () => {
    const seconds = Math.ceil((end - Date.now()) / 1000);
    for (const button of buttons) button.disabled = seconds > 0;
    wait.textContent = seconds > 0 ? `possible in ${seconds} s` : "";
    if (seconds > 0) setTimeout(tick, 1000);
  };
  tick();
}
