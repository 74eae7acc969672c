"use strict";
// Copies commands, and opens what is folded. Everything is there without it.

function button(words, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

function copied(pre, made) {
  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(pre);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  };
  const say = (done) => { made.textContent = done ? "copied" : "selected: press Ctrl+C"; };
  if (navigator.clipboard) navigator.clipboard.writeText(pre.textContent).then(() => say(true), () => say(select()));
  else say(select());
}

for (const pre of document.querySelectorAll(".replay pre")) {
  const made = button("copy", "copy the command", () => copied(pre, made));
  pre.before(made);
}
function shown() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", shown);
shown();
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details:not(.behind)")) one.open = true; });
