// What is live is asked for again every so many seconds, while somebody can see it. The rest of the console needs no
// script.
"use strict";

async function renew(section) {
  const answer = await fetch(section.dataset.live, { headers: { "X-Live": "1" }, credentials: "same-origin" });
  if (answer.status === 401) return location.reload(); // Signed out: the page leads to the sign-in.
  if (!answer.ok) throw new Error(answer.statusText);
  // The page's own answer, under the page's own policy: what was escaped there stays text.
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  if (section.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
  const open = [...section.querySelectorAll("details[open]")].map((each) => each.id);
  const focused = section.contains(document.activeElement) ? document.activeElement.id : "";
  section.replaceChildren(...found.childNodes);
  if (section.querySelector("[data-last]")) delete section.dataset.live;
  for (const id of open) if (id) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus();
}

for (const section of document.querySelectorAll("[data-live]")) {
  const pause = 1000 * Number(section.dataset.every || 5);
  let failures = 0;
  const turn = async () => {
    if (!document.hidden) {
      try {
        await renew(section);
        failures = 0;
      } catch {
        failures += 1;
      }
    }
    section.toggleAttribute("data-stale", failures > 1);
    if (section.dataset.live) setTimeout(turn, pause * Math.min(8, failures + 1));
  };
  setTimeout(turn, pause);
}

// A text is checked as somebody types it, when they pause.
for (const area of document.querySelectorAll("textarea[data-check]")) {
  const shown = document.getElementById(area.getAttribute("aria-describedby"));
  let waiting, asked = 0;
  area.addEventListener("input", () => {
    clearTimeout(waiting);
    const mine = ++asked;
    waiting = setTimeout(async () => {
      const form = new URLSearchParams(new FormData(area.form));
      const answer = await fetch(area.dataset.check, { method: "POST", body: form, credentials: "same-origin" });
      if (!answer.ok || answer.redirected || mine !== asked) return;
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").body;
      if (mine === asked) shown.replaceChildren(...found.childNodes);
    }, 400);
  });
  shown.addEventListener("click", (event) => {
    if (!event.target.dataset.line) return;
    event.preventDefault();
    const lines = area.value.split("\n"), before = lines.slice(0, event.target.dataset.line - 1);
    const begin = before.join("\n").length + (before.length ? 1 : 0);
    area.focus();
    area.setSelectionRange(begin, begin + lines[before.length].length);
    area.scrollTop = (area.scrollHeight / lines.length) * Math.max(0, before.length - 5);
  });
}
