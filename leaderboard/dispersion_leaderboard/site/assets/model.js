// What the benchmarks' fits predict for this model; it changes with every other model, so it is not part of the page.
"use strict";
(() => {
  const place = document.getElementById("predictions");
  place.addEventListener("toggle", async () => {
    const root = "../../", box = place.querySelector("div");
    if (!place.open || box.childElementCount) return;
    await window.loadScript(`${root}data/models.js`);
    const { fields, rows } = window.LEADERBOARD;
    const model = fields.findIndex((f) => f.key === "model");
    const row = rows.find((r) => r[model][1] === place.dataset.path);
    const table = document.createElement("table");
    table.innerHTML = '<thead><tr><th scope="col">Benchmark</th><th scope="col">Measured, %</th><th scope="col">Predicted, %</th></tr></thead>';
    const body = table.createTBody();
    fields.forEach((field, i) => {
      if (field.type !== "interval") return;
      const measured = fields.findIndex((f) => f.key === field.key.replace(/^predicted-/, ""));
      const line = body.insertRow();
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = fields[measured].label;
      line.append(name);
      line.insertCell().textContent = window.Cells.text(fields[measured], row[measured]);
      line.insertCell().textContent = window.Cells.text(field, row[i]);
    });
    if (!body.rows.length) box.textContent = "No benchmark could be fitted.";
    else box.append(table);
  });
})();
