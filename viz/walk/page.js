"use strict";
(() => {
  const root = document.documentElement;
  const steps = [...document.querySelectorAll("article.step")];
  const data = JSON.parse(document.getElementById("data").textContent);
  const id = (name) => document.getElementById(name);
  let now = -1;

  root.classList.add("walking");

  // Marks everything that belongs to a step, and shows it where it stands.
  function show(k, speak = true) {
    k = Math.max(0, Math.min(steps.length - 1, k));
    if (k === now) return;
    now = k;
    const step = steps[k];
    steps.forEach((each, n) => { each.hidden = n !== k; });
    for (const old of document.querySelectorAll(".lit")) {
      old.classList.remove("lit");
      old.removeAttribute("aria-current");
    }
    light(step.dataset.line && id("line-" + step.dataset.line));
    const node = step.dataset.node && id(step.dataset.node);
    light(node);
    const kernel = step.dataset.kernel && id("kernel-" + step.dataset.kernel);
    if (kernel) kernel.open = true; // which shuts the one before it, and moves this one
    light(kernel);
    const phase = ["forward", "backward", "update"].find((name) => step.classList.contains(name));
    for (const button of document.querySelectorAll("[data-phase]")) {
      button.setAttribute("aria-pressed", String(button.dataset.phase === phase));
    }
    id("count").textContent = `${k + 1} of ${steps.length}`;
    id("back").disabled = id("first").disabled = k === 0;
    id("next").disabled = id("last").disabled = k === steps.length - 1;
    id("card").scrollTop = 0;
    if (window.matchMedia("(max-width: 63.99rem)").matches) id("card").scrollIntoView({ block: "start" });
    if (speak) {
      const line = step.dataset.line ? `, line ${step.dataset.line}` : "";
      id("status").textContent = `step ${k + 1} of ${steps.length}, ${phase}${line}: ${step.dataset.told}`;
    }
    try { history.replaceState(null, "", "#step-" + (k + 1)); } catch { /* a file may forbid it */ }
  }

  function light(part) {
    if (!part) return;
    part.classList.add("lit");
    part.setAttribute("aria-current", "step");
    const pane = part.closest(".picture") || part.closest(".pane");
    const at = part.getBoundingClientRect();
    const frame = pane.getBoundingClientRect();
    const tall = part.matches("details") || at.height > frame.height;
    pane.scrollTop += tall ? at.top - frame.top - 8 : at.top + at.height / 2 - frame.top - frame.height / 2;
    pane.scrollLeft += at.left + at.width / 2 - frame.left - frame.width / 2;
    const outer = part.closest(".pane");
    if (outer !== pane) {
      const whole = pane.getBoundingClientRect();
      const box = outer.getBoundingClientRect();
      if (whole.top < box.top || whole.bottom > box.bottom) outer.scrollTop += whole.top - box.top - 40;
    }
  }

  // The next step, after the current one and round, that a part belongs to.
  function after(key, value) {
    for (let n = 1; n <= steps.length; n++) {
      const k = (now + n) % steps.length;
      if (steps[k].dataset[key] === value) return k;
    }
    return now;
  }

  function press(name) {
    const button = id(name);
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    return on;
  }

  function number(x) {
    if (!Number.isFinite(x)) return "no number";
    const rounded = Number(x.toPrecision(4));
    const size = Math.abs(rounded);
    const power = rounded !== 0 && (size < 1e-4 || size >= 1e4);
    const text = power ? x.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e") : String(rounded);
    return text.replace(/-/g, "−");
  }

  function learn() {
    const rate = data.rates[Number(id("rate").value)];
    for (const cell of document.querySelectorAll("td.new")) {
      cell.textContent = number(Number(cell.dataset.theta) - rate * Number(cell.dataset.move));
    }
    for (const output of [id("eta"), ...document.querySelectorAll("output.eta")]) {
      output.textContent = number(rate);
    }
    if (id("after")) id("after").textContent = number(data.losses[Number(id("rate").value)]);
    id("rate").setAttribute("aria-valuetext", "learning rate " + number(rate));
  }

  id("next").addEventListener("click", () => show(now + 1));
  id("back").addEventListener("click", () => show(now - 1));
  id("first").addEventListener("click", () => show(0));
  id("last").addEventListener("click", () => show(steps.length - 1));
  id("present").addEventListener("click", () => {
    root.classList.toggle("presenting", press("present"));
    const k = now;
    now = -1;
    show(k, false);
  });
  id("dark").addEventListener("click", () => { root.dataset.theme = press("dark") ? "dark" : "light"; });
  id("sheets").addEventListener("click", () => root.classList.toggle("sheets", press("sheets")));
  id("print").addEventListener("click", () => window.print());
  for (const button of document.querySelectorAll("[data-phase]")) {
    button.addEventListener("click", () => {
      show(steps.findIndex((step) => step.classList.contains(button.dataset.phase)));
    });
  }
  if (id("rate")) {
    id("rate").addEventListener("input", learn);
    learn();
  }

  document.addEventListener("click", (event) => {
    const node = event.target.closest("g.node[role=button]");
    if (node) { show(after("node", node.id)); return; }
    const link = event.target.closest("a[href^='#']");
    if (!link || link.classList.contains("skip")) return;
    event.preventDefault();
    const target = link.getAttribute("href").slice(1);
    if (link.dataset.line) show(after("line", link.dataset.line));
    else if (link.dataset.kernel) show(after("kernel", link.dataset.kernel));
    else if (target.startsWith("step-")) show(Number(target.slice(5)) - 1);
    else {
      const found = id(target);
      const focus = found.matches("li") ? found.querySelector("a") : found.querySelector("summary") || found;
      if (found.matches("details")) found.open = true;
      found.scrollIntoView({ block: "nearest" });
      focus.focus({ preventScroll: true });
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = event.target.closest && event.target.closest("g.node[role=button]");
    if (node && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      show(after("node", node.id));
      return;
    }
    if (event.target.matches && event.target.matches("input")) return;
    const moves = {
      ArrowRight: now + 1, PageDown: now + 1, ArrowLeft: now - 1, PageUp: now - 1,
      Home: 0, End: steps.length - 1,
    };
    if (event.key in moves) {
      event.preventDefault();
      show(moves[event.key]);
    } else if (event.key === "p") id("present").click();
    else if (event.key === "d") id("dark").click();
  });

  if (window.matchMedia("(prefers-color-scheme: dark)").matches) id("dark").click();
  const asked = /^#step-(\d+)$/.exec(location.hash);
  show(asked ? Number(asked[1]) - 1 : 0, false);
})();
