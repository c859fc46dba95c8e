"use strict";
const form = document.getElementById("filter");
if (form) {
  const rows = [...document.querySelectorAll("#findings tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  const show = () => {
    const { words, severity, blocks, fixable } = form.elements;
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [row, text] of rows) {
      row.hidden = !wanted.every((word) => text.includes(word)) || (severity.value !== "" && row.dataset.severity !== severity.value)
        || (blocks.checked && row.dataset.blocks !== "true") || (fixable.checked && row.dataset.fixable !== "true");
      count += row.hidden ? 0 : 1;
    }
    document.getElementById("count").textContent = `${count} of ${rows.length}`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
