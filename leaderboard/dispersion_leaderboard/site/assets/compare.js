// Up to four models side by side, and their D by layer; which ones stands in the address.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const MOST = 4, { text, empty, escape } = window.Cells;

  async function main() {
    await window.loadScript("data/models.js");
    const { fields, rows } = window.LEADERBOARD;
    const model = fields.findIndex((f) => f.key === "model");
    const key = (row) => window.Cells.key(row[model]);
    const byKey = new Map(rows.map((row) => [key(row), row]));
    const byTitle = new Map(rows.map((row) => [row[model][0], row]));
    const names = document.createDocumentFragment();
    for (const row of rows) names.append(new Option(row[model][0], row[model][0]));
    $("names").replaceChildren(names);
    let chosen = [];

    function differs(field, first, cell) {
      if (!["number", "percent"].includes(field.type) || empty(first) || empty(cell) || first[1] === null || cell[1] === null) return false;
      return Math.abs(first[0] - cell[0]) > 1.96 * Math.hypot(first[1], cell[1]);
    }

    function draw() {
      const found = chosen.map((k) => byKey.get(k));
      $("none").hidden = found.length > 1;
      const caption = $("comparison").querySelector("caption");
      const head = found.map((row) => `<th scope="col"><a href="${escape(row[model][1])}"><bdi>${escape(row[model][0])}</bdi></a> ` +
        `<button type="button" data-drop="${escape(key(row))}" aria-label="Remove ${escape(row[model][0])}">✕</button></th>`);
      const lines = fields.map((field, i) => field.key === "model" || found.every((row) => empty(row[i])) ? "" :
        `<tr><th scope="row">${escape(field.label)}</th>` + found.map((row) => {
          const far = differs(field, found[0][i], row[i]);
          return `<td class="${field.type}${far ? " differs" : ""}">${escape(text(field, row[i]))}${far ? " <abbr title=\"differs from the first model\">≠</abbr>" : ""}</td>`;
        }).join("") + "</tr>");
      $("comparison").innerHTML = found.length ? `<thead><tr><th scope="col">Quantity</th>${head.join("")}</tr></thead><tbody>${lines.join("")}</tbody>` : "";
      $("comparison").prepend(caption);
      caption.hidden = !found.length;
      for (const button of document.querySelectorAll("[data-drop]"))
        button.onclick = () => { chosen = chosen.filter((k) => k !== button.dataset.drop); changed(); $("add").focus(); };
      $("said").textContent = `${found.length} of up to ${MOST} models.`;
      profiles(found);
    }

    async function profiles(found) {
      await Promise.all([...new Set(found.map((row) => row[model][1].slice(7, 9)))].map((s) => window.loadScript(`data/profiles/${s}.js`).catch(() => null)));
      const points = new Map();
      for (const row of found) {
        const path = row[model][1];
        for (const [label, profile] of Object.entries(window.PROFILES?.[path.slice(7, 9)]?.[path] ?? {})) {
          if (!points.has(label)) points.set(label, []);
          profile.forEach((d, l) => { if (d !== null) points.get(label).push({ model: row[model][0], layer: l, depth: l / (profile.length - 1), D: d }); });
        }
      }
      if (points.size) await window.loadScript("assets/vendor/vega.js");
      const drawn = await Promise.all([...points].map(async ([label, values]) => {
        const figure = document.createElement("figure"), place = document.createElement("div"), caption = document.createElement("figcaption");
        caption.textContent = `${label}, by relative depth (0 the embeddings, 1 the last hidden state).`;
        figure.append(place, caption);
        const dark = window.matchMedia("(prefers-color-scheme: dark)").matches, ink = dark ? "#e5e7eb" : "#1f2937", grid = dark ? "#374151" : "#e5e7eb";
        await window.vegaEmbed(place, {
          width: 560, height: 240, data: { values },
          mark: { type: "line", point: true },
          encoding: {
            x: { field: "depth", type: "quantitative", title: "relative depth" },
            y: { field: "D", type: "quantitative", scale: { zero: false } },
            color: { field: "model", type: "nominal", scale: { scheme: "dark2" }, title: "model" },
            tooltip: [{ field: "model" }, { field: "layer" }, { field: "D" }],
          },
          config: { background: "transparent", view: { stroke: null }, axis: { labelColor: ink, titleColor: ink, gridColor: grid }, legend: { labelColor: ink, titleColor: ink, orient: "bottom", labelLimit: 220, columns: 2 } },
        }, { renderer: "svg", actions: false });
        const svg = place.querySelector("svg");
        svg.setAttribute("role", "img");
        svg.setAttribute("aria-label", `Chart. ${caption.textContent}`);
        return figure;
      }));
      $("profiles").replaceChildren(...drawn);
    }

    const save = () => window.State.write(new URLSearchParams(chosen.length ? { compare: chosen.join(",") } : {}));

    function changed() {
      save();
      draw();
    }

    function restore() {
      chosen = [...new Set((window.State.read().get("compare") || "").split(","))].filter((k) => byKey.has(k)).slice(0, MOST);
      draw();
    }

    $("add").addEventListener("change", () => {
      const row = byTitle.get($("add").value);
      if (!row) return;
      chosen = [...chosen.filter((k) => k !== key(row)), key(row)].slice(-MOST);
      $("add").value = "";
      changed();
    });
    // A place on the page that is gone to (the skip link's) chooses nothing.
    window.addEventListener("hashchange", () => (window.State.read().has("compare") || !location.hash ? restore() : save()));
    restore();
    document.body.dataset.ready = "yes";
  }
  main();
})();
