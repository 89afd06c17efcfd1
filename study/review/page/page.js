"use strict";
// Scrubbing through one run, and opening everything for print. The page says the same without it.
(() => {
  const data = JSON.parse(document.getElementById("timeline-data").textContent);
  const slider = document.getElementById("at"), play = document.getElementById("play");
  const drawing = document.querySelector("#lanes svg");
  const first = data.moments[0].t_s, last = data.moments[data.moments.length - 1].t_s;
  const LEFT = 150, WIDTH = 546; // of the lanes, as they are drawn
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "8");
  cursor.setAttribute("y2", String(drawing.viewBox.baseVal.height - 38));
  drawing.appendChild(cursor);

  const put = (id, text) => { document.getElementById(id).textContent = text; };
  const list = (id, items) => {
    document.getElementById(id).replaceChildren(...items.map(([text, name]) => {
      const item = document.createElement("li");
      item.textContent = text;
      item.className = name;
      return item;
    }));
  };
  const show = (number) => {
    const moment = data.moments[number], before = data.moments[Math.max(0, number - 1)];
    const x = String(LEFT + (moment.t_s - first) / (last - first) * WIDTH);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    put("now", moment.t_s.toFixed(3) + " s");
    slider.setAttribute("aria-valuetext", moment.t_s.toFixed(3) + " seconds after the fault");
    put("why", moment.why);
    put("until", moment.until);
    list("states", data.actors.map((actor, at) =>
      [actor + ": " + moment.states[at], moment.states[at] === before.states[at] ? "" : "changed"]));
    list("said", moment.said.map((text) => [text, ""]));
  };
  let timer = 0;
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; play.setAttribute("aria-pressed", "false"); };
  const step = () => {
    if (Number(slider.value) >= Number(slider.max)) return stop();
    slider.value = String(Number(slider.value) + 1);
    show(Number(slider.value));
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = "0";
    timer = setInterval(step, 350);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
  });
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  for (const hidden of document.querySelectorAll(".scrub, .explain")) hidden.hidden = false;
  const start = data.moments.findIndex((moment) => moment.t_s >= 0);
  slider.value = String(start);
  show(start);
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
})();
