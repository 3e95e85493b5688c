// The hosted page's own script: countdown by the server's clock, live updates, copying. The page works without it.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const live = $("live");
  const base = location.pathname.replace(/\/ask$/, "");
  const language = document.documentElement.lang;
  const served = new Map();
  let offset, timer, stream, planned, looking, leaving, isOpen = false, polls = 0, failures = 0;

  // Time: the server's, carried on by a clock that no one can set. Date.now() is never asked.
  const sync = (now) => { offset = Number(now) - performance.now(); };
  const now = () => performance.now() + offset;

  const clocked = (count) => Math.floor(count / 60) + ":" + String(count % 60).padStart(2, "0");

  const tick = () => {
    const clock = $("clock");
    if (!clock || live.dataset.waiting !== "yes") return;
    const left = Math.max(0, live.dataset.expires - now());
    const seconds = Math.ceil(left / 1000);
    const hours = seconds < 86400 ? clocked(Math.floor(seconds / 60)) : Math.floor(seconds / 3600);
    clock.textContent = seconds < 6000 ? clocked(seconds) : hours + "\nh";
    clock.classList.toggle("soon", seconds <= 120);
    const share = left / Math.max(1, live.dataset.expires - live.dataset.created);
    $("ring").setAttribute("stroke-dasharray", Math.round(1000 * Math.min(1, share)) + " 1000");
    if (seconds === 0 && !looking) planned ??= setTimeout(refresh, 2000);
  };

  // A time of another day than the payer's today is told with its date.
  const localTimes = (root) => {
    const today = new Date(now()).toDateString();
    for (const time of root.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      const day = at.toDateString() === today ? {} : { day: "numeric", month: "short" };
      const form = { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
      time.textContent = new Intl.DateTimeFormat(language, form).format(at);
      time.title = at.toLocaleString(language);
    }
  };

  const announce = (text) => {
    $("announce").textContent = "";
    setTimeout(() => { $("announce").textContent = text; }, 50);
  };

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      field.className = "unseen";
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    await copied(button.dataset.copy);
    button.focus();
    button.classList.add("done");
    announce(button.dataset.done);
    setTimeout(() => button.classList.remove("done"), 2000);
  });

  const leave = () => {
    const link = document.querySelector("a[data-leave]");
    if (!link || leaving) return;
    const note = link.parentElement.querySelector(".leaving");
    let seconds = Number(link.dataset.leave);
    const show = () => { note.firstElementChild.textContent = live.dataset.leaving.replace("{n}", seconds); };
    show();
    note.hidden = false;
    leaving = setInterval(() => {
      seconds -= 1;
      if (seconds <= 0) { clearInterval(leaving); location.assign(link.href); } else show();
    }, 1000);
    note.querySelector("button").addEventListener("click", () => { clearInterval(leaving); note.hidden = true; link.focus(); });
  };

  const parts = (root) => root.querySelectorAll("[data-part]");
  const remember = (root) => { for (const part of parts(root)) served.set(part.id, part.outerHTML); };

  // Put in what changed, part by part, so that an open box, a focus or a half-typed text elsewhere stays as it is.
  const swap = (fresh) => {
    if (live.dataset.pin && fresh.dataset.pin && live.dataset.pin !== fresh.dataset.pin) return refuse();
    for (const part of parts(fresh)) {
      const old = $(part.id), html = part.outerHTML;
      if (served.get(part.id) === html) continue;
      served.set(part.id, html);
      const focused = old.contains(document.activeElement) ? document.activeElement.id : null;
      const open = old.querySelector("details")?.open;
      const code = old.querySelector("input[name=qr]:checked")?.value;
      const node = document.importNode(part, true);
      old.replaceWith(node);
      if (open) node.querySelector("details").open = true;
      if (code && $("qr-" + code)) $("qr-" + code).checked = true;
      if (focused) $(focused)?.focus();
      localTimes(node);
    }
    const said = live.dataset.say;
    Object.assign(live.dataset, fresh.dataset);
    live.className = fresh.className;
    document.title = live.dataset.title;
    if (said !== live.dataset.say) announce(live.dataset.say);
    tick();
    leave();
  };

  // An address never changes under its order: something between server and page is wrong. Show nothing to pay to.
  const refuse = () => {
    stop();
    $("pay").remove();
    $("strip").remove();
    $("lost").textContent = live.dataset.swapped;
    $("lost").className = "lost danger";
    $("lost").hidden = false;
    announce(live.dataset.swapped);
  };

  const stop = () => { clearTimeout(timer); stream?.close(); timer = stream = undefined; live.dataset.stopped = "yes"; };

  const fetchLive = async () => {
    const query = new URLSearchParams({ lang: language, seen: live.dataset.version });
    const answer = await fetch(base + "/live?" + query, { cache: "no-store" });
    if (answer.status !== 200 && answer.status !== 204) throw new Error(answer.status);
    sync(answer.headers.get("x-now"));
    if (answer.status === 204) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (fresh) swap(fresh);
  };

  const refresh = () => {
    planned = clearTimeout(planned);
    looking ??= (async () => {
      try {
        await fetchLive();
        failures = 0;
      } catch {
        failures += 1;
      } finally {
        looking = null;
      }
      if (live.dataset.stopped) return;
      $("lost").textContent = live.dataset.lost;
      $("lost").hidden = failures < 2;
      plan();
    })();
    return looking;
  };

  // Polling is the fallback: slow while the stream is open, quick without it, slower the longer nothing answers.
  // An order that has ended is looked at for half an hour more: late money may still show.
  const plan = () => {
    clearTimeout(timer);
    const ended = live.dataset.final === "yes";
    if (ended && stream) { stream = stream.close(); isOpen = false; }
    if (ended && polls++ > 30) return;
    const quick = ended ? 60000 : Math.min(3000 + 250 * polls++, 10000);
    timer = setTimeout(refresh, isOpen ? 60000 : quick * Math.min(2 ** failures, 8));
  };

  const follow = () => {
    if (!window.EventSource || live.dataset.stopped || live.dataset.final === "yes") return;
    stream = new EventSource(base + "/events");
    stream.addEventListener("open", () => { isOpen = true; refresh(); });
    stream.addEventListener("change", refresh);
    stream.addEventListener("beat", (event) => { sync(event.data); tick(); });
    stream.addEventListener("error", () => {
      if (stream?.readyState === EventSource.CLOSED) { stream = undefined; setTimeout(follow, 60000); }
      if (isOpen) { isOpen = false; plan(); }
    });
  };

  const ask = document.querySelector("form[data-ask]");
  ask?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = $("answer");
    answer.textContent = answer.dataset.busy;
    try {
      const reply = await fetch(ask.action, { method: "POST", body: new URLSearchParams(new FormData(ask)) });
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      const found = page.getElementById("answer");
      answer.replaceChildren(...(found ? found.childNodes : page.querySelectorAll("main p")));
    } catch {
      answer.textContent = live.dataset.lost;
    }
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden && !live.dataset.stopped) refresh(); });
  addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });

  sync(live.dataset.now);
  remember(live);
  localTimes(live);
  tick();
  setInterval(tick, 1000);
  leave();
  follow();
  plan();
})();
