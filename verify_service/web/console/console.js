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
